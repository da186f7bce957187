"""A finished folder takes the place of an earlier one; a kill at any moment leaves one of them whole."""

import ctypes
import glob
import os
import shutil
import sys
import uuid
from pathlib import Path

_OLD = ".sfm-old"
_EXCHANGE = 2
_AT_CWD = -100


def take_place(new: Path, path: Path) -> Path | None:
    """Put the folder `new` at `path`; returns the new place of the folder that was there, if any."""
    if not os.path.lexists(path):
        new.rename(path)
        return None
    if _exchanged(new, path):
        return new
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_OLD}")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    return old


def recover(path: Path) -> None:
    """Put the folder back that a process killed in `take_place` had just taken from `path`."""
    for old in path.parent.glob(f".{glob.escape(path.name)}.????????{_OLD}"):
        if os.path.lexists(path):
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)


def _exchanged(a: Path, b: Path) -> bool:
    """Let two folders trade places in one step, where the system can."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    return int(rename(_AT_CWD, os.fsencode(a), _AT_CWD, os.fsencode(b), _EXCHANGE)) == 0
