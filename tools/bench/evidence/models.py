"""Right and folded models of labelled collections, for `evidence.poses`: of runs, mappers, and true poses.

    python tools/bench evidence.models SETS.json CACHE --parts all half third

SETS.json is as for `evidence.pairs`; a set may name its truth, else it is in its folder. Sets without poses
are left out. Each part of a set's photos runs as a user's would. COLMAP's incremental mapper, and ours with
inconsistent pairs trusted, then map the databases of these runs again; a further model has the true poses.
What is in CACHE already is kept; `models.json` there lists all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from harness.arguments import program
from harness.paths import ROOT

from evidence.true_models import true_model
from sfm.ingest.discover import discover

_LIMIT_S = 1500
_TEN = 10


def _random(names: Sequence[str], share: float, seed: int) -> list[str]:
    rng, count = np.random.default_rng(seed), max(8, int(share * len(names)))
    return sorted(rng.permutation(names)[:count].tolist())


PARTS: Mapping[str, Callable[[Sequence[str], int], Sequence[str]]] = {
    "all": lambda names, seed: names,
    "half": lambda names, seed: _random(names, 1 / 2, seed),
    "third": lambda names, seed: _random(names, 1 / 3, seed),
    "row": lambda names, seed: names[len(names) // 3 :][:_TEN],
    "spread": lambda names, seed: names[:: max(1, len(names) // _TEN)][:_TEN],
    "last": lambda names, seed: names[-8:],
}
"""Which of the photos, in the order of their names; random ones by a seed."""
_MAPPERS: Mapping[str, tuple[str, ...]] = {
    "incremental": ("incremental",),
    "trusting": ("ours", "--option", "register.inconsistent_pairs=trust"),
}
"""Arguments of `engines.mapping`, but for the database and the folder."""
_DEFER = ("run", "true")
"""Judged as of a run, which grows models without the pairs that are likelier false."""


def main() -> None:
    """Make what is missing, and list all models."""
    parser = program(__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--parts", nargs="+", choices=sorted(PARTS), default=["all"])
    options = parser.parse_args()
    listed: list[dict[str, object]] = []
    for one in json.loads(options.sets.read_text(encoding="utf-8")):
        folder = Path(one["folder"])
        known = [one["truth"]] if one.get("truth") else [folder / "gt.json", folder / "reference.json"]
        truth = next((path for path in map(Path, known) if path.is_file()), None)
        for part in options.parts if truth else ():
            place = options.cache.resolve() / f"{folder.name}-{part}"
            photos = part_of_photos(folder / "images", place / "images", part)
            for name, models in _made(photos, place, truth).items():
                paths = {"truth": truth, "database": place / "run/database.db", "models": models}
                found = {key: str(path) for key, path in {**paths, "photos": photos}.items()}
                made = {"defers": name in _DEFER, "true_poses": name == "true"}
                listed.append({"kind": one["kind"], **found, **made})
                print(place.name, name, flush=True)
    text = json.dumps(listed, indent=1) + "\n"
    (options.cache / "models.json").write_text(text, encoding="utf-8")


def part_of_photos(photos: Path, out: Path, part: str) -> Path:
    """A folder with links to a part of the photos, the same each time."""
    if not out.exists():
        names = [file.name for file in discover(photos).files]
        for name in PARTS[part](names, zlib.crc32(photos.parent.name.encode())):
            link = out / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((photos / name).resolve())
    return out


def _made(photos: Path, place: Path, truth: Path) -> dict[str, Path]:
    """Folders of the models of a run and of the other mappers, by name, of those that made any."""
    common = ["--quiet", "--threads", "1", "--seed", "0", "backend=sift"]
    _once(place / "run", ["-m", "sfm", "run", str(photos), "-o", str(place / "run"), *common])
    database = place / "run/database.db"
    for name, (engine, *more) in _MAPPERS.items() if database.is_file() else ():
        program_of = [str(ROOT / "tools/bench"), "engines.mapping", engine, str(database), str(place / name)]
        _once(place / name, [*program_of, "--seed", "0", "--threads", "1", *more])
    if database.is_file() and not (place / "true").exists():
        true_model(truth, database, photos, place / "true")
    found = {name: place / name for name in ("run", *_MAPPERS, "true")}
    models = {name: out / "sparse" if (out / "sparse").is_dir() else out for name, out in found.items()}
    return {name: path for name, path in models.items() if any(path.glob("*/images.bin"))}


def _once(out: Path, command: Sequence[str]) -> None:
    """Run a command that fills a folder, unless it ran before; what takes too long has no result."""
    done = out.with_suffix(".done")
    if done.is_file():
        return
    try:
        subprocess.run([sys.executable, *command], timeout=_LIMIT_S, stdout=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        shutil.rmtree(out, ignore_errors=True)
    done.touch()


if __name__ == "__main__":
    main()
