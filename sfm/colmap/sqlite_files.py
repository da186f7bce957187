"""SQLite files that belong to somebody else: opened without writing beside them, and copied as they stand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def open_read_only(path: Path) -> closing[sqlite3.Connection]:
    """A connection that cannot write, closed at the end of the `with`."""
    return closing(sqlite3.connect(read_only_uri(path), uri=True))


def read_only_uri(path: Path) -> str:
    """The address that SQLite opens a file by without writing, and where it can without files beside it.

    SQLite makes a log and an index of it beside a file that is set to have them, even for a reader. Where
    there is no log, nobody has the file open, and it may be read as it stands.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return f"{uri}&immutable=1" if _has_log_mode(path) and not _is_logged(path) else uri


def _has_log_mode(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == b"\2\2"
    except OSError:
        return False


def _is_logged(path: Path) -> bool:
    return path.with_name(f"{path.name}-wal").exists()


def replace_by_copy(source: sqlite3.Connection, path: Path) -> None:
    """Put a copy made by SQLite itself, so that a write-ahead log beside the source is included, at `path`.

    What was there before stays until the copy is whole.
    """
    scratch = path.with_name(f".{path.name}.copy")
    try:
        scratch.unlink(missing_ok=True)
        with closing(sqlite3.connect(scratch)) as copy:
            source.backup(copy)
        replace_by_move(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def replace_by_move(source: Path, path: Path) -> None:
    """Move a file that nobody has open to `path`, on the same disk."""
    for log in ("-wal", "-shm"):  # of the file that goes: SQLite would apply it to the new one
        path.with_name(path.name + log).unlink(missing_ok=True)
    source.replace(path)
