"""What a reader that is fed with damaged files consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reader:
    """What writes sound files into a new folder, and what reads them."""

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    damage: tuple[str, ...] = ("*.*",)
    """Patterns of the files that are damaged."""
    slowness: int = 1
    """How much fewer files of it are tried in the time of a test."""
    documented: tuple[type[Exception], ...] = ()
    """Errors that are told apart from those of `sfm.errors` by whoever calls the reader."""
