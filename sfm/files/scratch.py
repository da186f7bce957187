"""Temporary files and folders, where the next run finds what a killed one left, and removes it."""

import glob
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SUFFIX = ".sfm-scratch"
_OURS = re.compile(rf"\.(?:.+\.)?[0-9a-f]{{16}}{re.escape(_SUFFIX)}", re.DOTALL)
"""Names of what is in the making, so that only our own leftovers are ever removed."""

_places: list[Path] = []
"""Where temporary folders are made, the last counts; of this process, as its lock on a workspace is."""


@contextmanager
def scratch_below(place: Path) -> Iterator[None]:
    """Make `scratch_folder` give folders below `place`, an existing folder, while the context is open."""
    _places.append(place)
    try:
        yield
    finally:
        _places.remove(place)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, gone in the end: in the workspace that is open, else where the system has them."""
    with tempfile.TemporaryDirectory(dir=_places[-1] if _places else None) as folder:
        yield Path(folder)


def beside(path: Path) -> Path:
    """A name in the folder of `path` for a file that will take its place."""
    return path.with_name(f".{_number()}{_SUFFIX}")


def folder_beside(path: Path) -> Path:
    """A name in the folder of `path` for a folder that will take its place; `leftovers` finds it."""
    return path.with_name(f".{path.name}.{_number()}{_SUFFIX}")


def leftovers(path: Path) -> list[Path]:
    """What killed processes left of folders that were to take the place of `path`."""
    found = path.parent.glob(f".{glob.escape(path.name)}.{'?' * 16}{_SUFFIX}")
    return [one for one in found if _OURS.fullmatch(one.name)]


def is_scratch(name: str) -> bool:
    """Whether a file or folder of this name is one of ours in the making."""
    return _OURS.fullmatch(name) is not None


def _number() -> str:
    return uuid.uuid4().hex[:16]


def sweep(folder: Path, *, deep: bool) -> None:
    """Remove what killed processes left half made in `folder`, and with `deep` in all folders below."""
    for parent, folders, files in os.walk(folder):
        for name in (*files, *folders):
            if is_scratch(name):
                _remove(Path(parent, name))
        if not deep:
            return


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
