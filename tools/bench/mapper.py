"""Our mapper beside COLMAP's incremental and global one on the same databases: a table, JSON, and what holds.

    python tools/bench/mapper.py --seeds 3 --out out/mapper.json       # grids and all sets but the largest
    python tools/bench/mapper.py grid-300-alike fountain-P11 --mappers ours --seeds 1
    python tools/bench/mapper.py grid-100 --mappers incremental,global --fresh

A case is a set of photos, matched exhaustively (`bonsai292`, only where it is named: by a vocabulary tree's
pairs), or a street grid (`tools/street_grid.py`). Each run is a process of its own. Results are kept with
their models: a peer's until its database changes, ours until its source does; `--fresh` runs all that
`--mappers` names again. Mappers that are not asked for are shown where the cache has them.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pycolmap
from engines.mapper_cases import GRIDS, Case, prepare_case
from engines.settings import (
    LARGE,
    MAPPING,
    PEERS,
    Settings,
    add_run_options,
    last_line,
    run_mapping,
    settings_from,
)
from harness.arguments import program
from harness.paths import BENCH, ROOT
from harness.result_file import write_results
from metrics.mapper_criteria import judge
from metrics.mapper_folds import known_false_pairs, used_pairs
from metrics.mapper_rows import MapperRow, medians, render
from metrics.mapper_scores import agreement, common_errors, flagged_photos, read_models, score
from photo_sets.sets import add_shared_options, files_key

from sfm.evaluation import load_ground_truth

_ENGINES = ("incremental", "global", "ours")


@dataclass(frozen=True, slots=True)
class Run:
    """One mapper on one case; its folder holds the models and `figures.json`."""

    case: Case
    engine: str
    seed: int
    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether there is a result, were it a failure."""
        return (self.folder / "figures.json").is_file()

    @property
    def failed(self) -> bool:
        """Whether the result is a failure."""
        return bool(json.loads((self.folder / "figures.json").read_text(encoding="utf-8"))["failure"])

    @property
    def models(self) -> Path:
        """Where the models are."""
        return self.folder / "models"


def main() -> None:
    """Parse, run what is missing, print."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    settings = settings_from(options)
    rows: list[MapperRow] = []
    print(render([]), file=sys.stderr)
    for row in _rows(options, settings):
        rows.append(row)
        print(render([row]).splitlines()[-1], file=sys.stderr, flush=True)
        if options.out:
            _write(options.out, rows, settings)
    middle = medians(rows)
    print(render(middle))
    print("\n".join(judge(middle)))


def _rows(options: argparse.Namespace, settings: Settings) -> Iterator[MapperRow]:
    """Case by case, seed by seed; what is not asked for is shown if it is there."""
    for name in options.cases or [*GRIDS, *_photo_sets(options.data)]:
        try:
            case = prepare_case(name, options.data, settings)
        except (FileNotFoundError, RuntimeError) as error:
            raise SystemExit(f"error: {error}") from error
        for seed in range(options.seeds):
            runs = {engine: _run(case, engine, seed, settings) for engine in _ENGINES}
            for engine in options.mappers:
                run = runs[engine]
                if options.fresh or not run.is_done or (settings.retry_failed and run.failed):
                    _measure(run, settings)
            done = {engine: run for engine, run in runs.items() if run.is_done}
            yield from (_row(run, done) for run in done.values())


def _run(case: Case, engine: str, seed: int, settings: Settings) -> Run:
    """The run and its folder, named by all that its result depends on."""
    stem = f"{case.name}-{engine}-{seed}"
    parts: tuple[object, ...] = (case.database, settings.threads, pycolmap.__version__)
    if engine == "ours":
        sources = sorted(f for part in ("sfm", "retrieval", "kernels") for f in (ROOT / part).rglob("*.py"))
        parts += (settings.options, files_key(ROOT, [*sources, BENCH / MAPPING]))
    else:
        parts += (files_key(ROOT, [BENCH / MAPPING]),)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return Run(case, engine, seed, settings.cache / "mapper" / stem / key)


def _measure(run: Run, settings: Settings) -> None:
    """Run the mapper in a folder that is renamed last; earlier results of ours go, sources change often."""
    fresh = run.folder.with_name(f"{run.folder.name}.{os.getpid()}")  # another process may run it, too
    fresh.mkdir(parents=True)
    measured = run_mapping(
        run.engine, run.case.database, fresh / "models", settings, fresh / "log", seed=run.seed
    )
    figures = {
        "seconds": measured.seconds,
        "cpu_s": measured.cpu_seconds,
        "peak_memory_mb": measured.peak_memory_mb,
        "failure": measured.failure,
    }
    if not measured.failure:
        mapped = last_line(measured)
        figures |= {key: mapped[key] for key in ("cpu_s", "peak_memory_mb")} | {"seconds": mapped["map_s"]}
    (fresh / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
    for old in run.folder.parent.iterdir() if run.engine == "ours" else [run.folder]:
        if old != fresh:
            shutil.rmtree(old, ignore_errors=True)
    fresh.rename(run.folder)


def _row(run: Run, others: dict[str, Run]) -> MapperRow:
    """Figures of a run, with those that need the other mappers' models of the same seed."""
    figures = json.loads((run.folder / "figures.json").read_text(encoding="utf-8"))
    models = read_models(run.models)
    with pycolmap.Database.open(run.case.database) as database:
        photos = database.num_images()
    record = run.models / "run.json"
    flagged = (
        flagged_photos(json.loads(record.read_text(encoding="utf-8"))) if record.is_file() else frozenset()
    )
    row = MapperRow(
        case=run.case.name,
        engine=run.engine,
        seed=run.seed,
        status=figures["failure"] or ("ok" if models else "no model"),
        photos=photos,
        models=tuple(len(poses) for poses in models),
        registered=len({name for poses in models for name in poses}),
        flagged=len(flagged),
        seconds=figures["seconds"],
        cpu_s=figures["cpu_s"],
        peak_memory_mb=figures["peak_memory_mb"],
    )
    if false := known_false_pairs(run.case.name, run.case.database):
        row = replace(row, false_pairs=used_pairs(run.models, run.case.database, false))
    row = _compared(row, run, others)
    if run.case.truth is None:
        return row
    result = score(models, load_ground_truth(run.case.truth))
    return replace(
        row,
        right=result.right,
        right_in_any=result.right_in_any,
        wrong=len(result.wrong),
        unflagged=len(set(result.wrong) - flagged),
        auc1=result.auc1,
        auc3=result.auc3,
        auc5=result.auc5,
        ate=result.ate,
    )


def _compared(row: MapperRow, run: Run, others: dict[str, Run]) -> MapperRow:
    own = (read_models(run.models) or [{}])[0]
    found = {engine: (read_models(other.models) or [{}])[0] for engine, other in others.items()}
    agreed = {
        engine: agreement(found[engine], own)
        for engine in PEERS
        if engine in found and engine != run.engine and found[engine]
    }
    row = replace(row, with_incremental=agreed.get("incremental"), with_global=agreed.get("global"))
    if run.engine != "ours" or run.case.truth is None:
        return row
    truth = load_ground_truth(run.case.truth)
    errors = [common_errors(own, found[engine], truth) for engine in PEERS if engine in found]
    ratios = [ours / peer for ours, peer in filter(None, errors) if peer > 0]
    return replace(row, ate_ratio=max(ratios, default=None))


def _photo_sets(data: Path) -> list[str]:
    return sorted(p.name for p in data.iterdir() if (p / "images").is_dir() and p.name not in LARGE)


def _write(path: Path, rows: Sequence[MapperRow], settings: Settings) -> None:
    middle = medians(rows)
    write_results(
        path,
        rows,
        middle,
        bench="mapper",
        threads=settings.threads,
        options=settings.options,
        criteria=judge(middle),
    )


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument("cases", nargs="*", help="names of sets in --data, paths, or street grids")
    add_shared_options(parser)
    add_run_options(parser, engines=_ENGINES)
    parser.set_defaults(threads=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
