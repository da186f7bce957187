"""SQLite files that belong to somebody else: opened without writing beside them, and copied as they stand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def open_read_only(path: Path) -> closing[sqlite3.Connection]:
    """A connection that cannot write, closed at the end of the `with`."""
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def copy_into(source: sqlite3.Connection, path: Path) -> None:
    """A copy made by SQLite itself, so that a write-ahead log beside the source is included."""
    with closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
