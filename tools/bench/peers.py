"""Our engine beside COLMAP's incremental and global mapper on sets of photos: a table and JSON.

    python tools/bench/peers.py fountain-P11 fox --out peers.json
    python tools/bench/peers.py data/demo --mappers ours,incremental --seeds 1

Peers work on exhaustively matched databases with the cameras and SIFT options that ours uses; such a database
is made once and kept, and its time counts in every row that uses it. Results are kept, too: a run that was
broken off goes on where it stopped. Ours is run again when its source code has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pycolmap
from engines import BENCH, PEERS, ROOT, Settings, database_path, run_engine
from photo_sets import PhotoSet, files_key, find_set
from rows import Row, median_rows
from table import render

_ENGINES = ("ours", *PEERS)


def main() -> None:
    """Parse, run what is missing, print."""
    options = _parse()
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # an exit takes the running engine along
    sets = [find_set(name, options.data) for name in options.sets]
    settings = Settings(options.cache.resolve(), options.threads, options.time_limit, tuple(options.option))
    rows = []
    for row in _results(sets, options.mappers, options.seeds, settings, fresh=options.fresh):
        rows.append(row)
        print(render([row]).splitlines()[-1], file=sys.stderr, flush=True)
        if options.out:
            _write(options.out, rows, settings)
    print(render(median_rows(rows)))
    if any(row.unmeasured_truth for row in rows):
        print("* against another program's result, not a measurement")


def _results(
    sets: Sequence[PhotoSet], engines: Sequence[str], num_seeds: int, settings: Settings, *, fresh: bool
) -> Iterator[Row]:
    """All rows in order, from the store where they are in it."""
    for photo_set in sets:
        for engine in engines:
            for seed in range(num_seeds):
                stored = settings.cache / "results" / f"{_key(photo_set, engine, seed, settings)}.json"
                if fresh or not stored.is_file():
                    row = run_engine(engine, photo_set, seed, settings)
                    stored.parent.mkdir(parents=True, exist_ok=True)
                    stored.write_text(json.dumps(asdict(row), indent=1), encoding="utf-8")
                content = json.loads(stored.read_text(encoding="utf-8"))
                yield Row(**{**content, "models": tuple(content["models"])})


def _key(photo_set: PhotoSet, engine: str, seed: int, settings: Settings) -> str:
    """What a result depends on: ours on photos, options and source, a peer's on its database and runner."""
    truth = photo_set.truth.read_text(encoding="utf-8") if photo_set.truth else ""
    common = (truth, settings.threads, pycolmap.__version__)
    parts: tuple[object, ...]
    if engine == "ours":
        folders = (ROOT / "sfm", ROOT / "retrieval", ROOT / "kernels")
        source = files_key(ROOT, sorted(file for folder in folders for file in folder.rglob("*.py")))
        parts = (*common, photo_set.content_key(), settings.options, source)
    else:
        parts = (*common, database_path(photo_set, settings), files_key(ROOT, [BENCH / "peer_mapping.py"]))
    return f"{photo_set.name}-{engine}-{seed}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _write(path: Path, rows: Sequence[Row], settings: Settings) -> None:
    content = {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "threads": settings.threads},
        "versions": {"python": platform.python_version(), "pycolmap": pycolmap.__version__},
        "options": list(settings.options),
        "rows": [asdict(row) for row in rows],
        "medians": [asdict(row) for row in median_rows(rows)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sets", nargs="+", help="names of folders in --data, or paths; photos in SET/images or SET"
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "loopsfm-bench")
    parser.add_argument("--out", type=Path, help="JSON file with all rows and the medians")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mappers", type=_engines, default=_ENGINES, help="some of ours,incremental,global")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--time-limit", type=float, default=3600.0, help="seconds for each process")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="override of ours")
    parser.add_argument("--fresh", action="store_true", help="run again what is in the store")
    return parser.parse_args()


def _engines(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [name for name in chosen if name not in _ENGINES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; choose from {', '.join(_ENGINES)}")
    return chosen


if __name__ == "__main__":
    main()
