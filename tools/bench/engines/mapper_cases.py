"""The databases on which mappers are compared: street grids, and sets of photos that were matched."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pycolmap
from harness.paths import ROOT
from photo_sets.sets import files_key, find_set

from engines.databases import Database, prepared_database
from engines.settings import LARGE, Settings, last_line, run_python
from sfm.config.schema import Config

GRIDS = (
    "grid-100",
    "grid-300",
    "grid-300-noisy",
    "grid-300-alike",
    "grid-300-bridge",
    "grid-300-unfocal",
    "grid-300-radial",
    "grid-1000",
)
_GRID_SOURCES = ("tools/street_grid.py", "tools/synthetic/street_grids.py", "tools/synthetic/grid_photos.py")


@dataclass(frozen=True, slots=True)
class Case:
    """One database and what is known about it."""

    name: str
    database: Path
    truth: Path | None
    """Measured or made; another program's result is no truth."""


def is_grid(name: str) -> bool:
    """Whether a case of this name is a street grid."""
    return name.startswith("grid-")


def prepare_case(name: str, data: Path, settings: Settings) -> Case:
    """The case of this name; its database is made where it is not in the cache.

    Raises:
        FileNotFoundError: there is no such set.
        RuntimeError: the database could not be made.
    """
    if is_grid(name):
        return _grid(name, settings)
    photo_set = find_set(name, data)
    choice = "vocabulary" if photo_set.name in LARGE else "exhaustive"
    prepared = prepared_database(photo_set, settings, choice)
    if not isinstance(prepared, Database):
        raise RuntimeError(f"{name}: {prepared.facts.status}; its output: {prepared.log}")
    truth = photo_set.truth if photo_set.truth_is_measured else None
    return Case(photo_set.name, Path(prepared.figures["database"]), truth)


def _grid(name: str, settings: Settings) -> Case:
    parts = (
        files_key(ROOT, [ROOT / source for source in _GRID_SOURCES]),
        Config().verify,
        pycolmap.__version__,
    )
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    folder = settings.cache / "grids" / f"{name}-{key}"
    if not (folder / "figures.json").is_file():
        logs = settings.cache / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")  # another process may make it, too
        command = [str(ROOT / "tools" / "street_grid.py"), name, str(fresh)]
        made = run_python(command, settings, logs / f"{name}-{os.getpid()}.log")
        if made.failure:
            raise RuntimeError(f"{name}: {made.tail.strip()}")
        (fresh / "figures.json").write_text(json.dumps(last_line(made)), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return Case(name, folder / "database.db", folder / "gt.json")
