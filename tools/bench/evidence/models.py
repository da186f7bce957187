"""Right and folded models of labelled collections, for `evidence.poses`: our mapper's and COLMAP's.

    python tools/bench evidence.models SETS.json CACHE

SETS.json is as for `evidence.pairs`; sets without poses are left out. Each database is mapped as it is and
thin, with and without deferred pairs. What is in CACHE already is kept; `models.json` there lists all.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pycolmap
from harness.arguments import program
from harness.paths import ROOT

from sfm.mapping import MIN_NUM_INLIERS

_VERIFIED, _OTHER = 6, 3  # pairs a photo in a thin database, about
_LUCK = 0.7  # scale of the Gumbel noise on the logarithm of the inliers
_LIMIT_S = 240
RUNS: Mapping[str, tuple[str, bool, tuple[str, ...]]] = {
    "ours-thin": ("ours", True, ()),
    "incremental-thin": ("incremental", True, ()),
    "trusting-thin": ("ours", True, ("--option", "register.inconsistent_pairs=trust")),
    "ours": ("ours", False, ()),
    "incremental": ("incremental", False, ()),
}
"""Engine, whether the database is thin, and options, by name."""


def main() -> None:
    """Map what is missing, and list all models."""
    parser = program(__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("cache", type=Path)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    listed: list[dict[str, object]] = []
    for one in json.loads(options.sets.read_text(encoding="utf-8")):
        folder = Path(one["folder"])
        truth = next(
            (folder / name for name in ("gt.json", "reference.json") if (folder / name).is_file()), None
        )
        if truth is None:
            continue
        place = options.cache.resolve() / folder.name
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "thin.db").is_file():
            thin_database(Path(one["database"]), place / "thin.db")
        for name, (engine, is_thin, more) in RUNS.items():
            database = place / "thin.db" if is_thin else Path(one["database"])
            if models := _mapped(engine, database, place / name, more):
                paths = {"truth": truth, "database": database, "models": models, "photos": folder / "images"}
                found = {key: str(path) for key, path in paths.items()}
                listed.append({"kind": one["kind"], **found, "defers": engine == "ours" and not more})
                print(folder.name, name, flush=True)
    text = json.dumps(listed, indent=1) + "\n"
    (options.cache / "models.json").write_text(text, encoding="utf-8")


def _mapped(engine: str, database: Path, out: Path, more: tuple[str, ...]) -> Path | None:
    """The folder of the models; None where mapping failed, took too long or made none."""
    if not (out / "done").is_file():
        command = [str(ROOT / "tools/bench"), "engines.mapping", engine, str(database), str(out)]
        try:
            subprocess.run(
                [sys.executable, *command, "--seed", "0", "--threads", "1", *more],
                timeout=_LIMIT_S,
                stdout=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            shutil.rmtree(out, ignore_errors=True)
        out.mkdir(exist_ok=True)
        (out / "done").touch()
    models = out / "sparse" if (out / "sparse").is_dir() else out
    return models if any(models.glob("*/images.bin")) else None


def thin_database(whole: Path, thin: Path, *, seed: int = 1) -> None:
    """A copy in which each photo has about so many verified and other tried pairs, as after retrieval."""
    rng = np.random.default_rng(seed)
    fresh = thin.with_suffix(".tmp")
    shutil.copyfile(whole, fresh)
    with closing(sqlite3.connect(fresh)) as db, db:
        inliers = dict(db.execute("SELECT pair_id, rows FROM two_view_geometries"))
        tried = sorted({*inliers, *(pair_id for (pair_id,) in db.execute("SELECT pair_id FROM matches"))})
        of_image: dict[int, list[int]] = {}
        for pair_id in tried:
            for image_id in pycolmap.pair_id_to_image_pair(pair_id):
                of_image.setdefault(image_id, []).append(pair_id)
        kept: set[int] = set()
        for _, pairs in sorted(of_image.items()):
            verified = [pair for pair in pairs if inliers.get(pair, 0) >= MIN_NUM_INLIERS]
            others = [pair for pair in pairs if inliers.get(pair, 0) < MIN_NUM_INLIERS]
            worth = [np.log(inliers[pair]) + _LUCK * rng.gumbel() for pair in verified]
            kept |= {verified[i] for i in np.argsort(-np.array(worth))[:_VERIFIED]}
            kept |= set(rng.permutation(others)[:_OTHER].tolist())
        left = [(pair,) for pair in tried if pair not in kept]
        for table in ("two_view_geometries", "matches"):
            db.executemany(f"DELETE FROM {table} WHERE pair_id = ?", left)
    fresh.replace(thin)


if __name__ == "__main__":
    main()
