"""Progress as a protocol, so that stages are independent of terminals."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Task(Protocol):
    """One running count."""

    def advance(self, steps: int = 1) -> None:
        """Count `steps` more as done."""


class Progress(Protocol):
    """Shows how far a stage is."""

    def task(self, title: str, total: int, *, unit: str = "") -> AbstractContextManager[Task]:
        """A count from 0 to `total` that is shown while the context is open."""

    def message(self, text: str) -> None:
        """One line about what was done, for displays that show lines."""


class _SilentTask:
    def __enter__(self) -> _SilentTask:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, steps: int = 1) -> None:
        return None


class SilentProgress:
    """Shows nothing; the default of library calls."""

    def task(self, title: str, total: int, *, unit: str = "") -> AbstractContextManager[Task]:
        """A task that shows nothing."""
        return _SilentTask()

    def message(self, text: str) -> None:
        """Show nothing."""
