"""SQLite files that belong to somebody else: opened without writing beside them, and copied as they stand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def open_read_only(path: Path) -> closing[sqlite3.Connection]:
    """A connection that cannot write, closed at the end of the `with`."""
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def replace_by_copy(source: sqlite3.Connection, path: Path) -> None:
    """Put a copy made by SQLite itself, so that a write-ahead log beside the source is included, at `path`.

    What was there before stays until the copy is whole.
    """
    scratch = path.with_name(f".{path.name}.copy")
    try:
        scratch.unlink(missing_ok=True)
        with closing(sqlite3.connect(scratch)) as copy:
            source.backup(copy)
        for log in ("-wal", "-shm"):  # of the file that goes: SQLite would apply it to the new one
            path.with_name(path.name + log).unlink(missing_ok=True)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
