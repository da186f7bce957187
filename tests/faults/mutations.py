"""Ways to damage a file, each determined by a random number generator."""

import json
import re
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

_INTEGERS = (0, 1, 2, 255, 2**15, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
_FLOATS = (0.0, -0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, 1e-320)
_WORDS = (
    *("0", "-1", "nan", "inf", "-inf", "1e400", "1e308", "", "x", "\0", "é", "\ud800", " ", "\n", "#", '"'),
    *(str(2**31), str(2**63), str(2**64), str(10**400), "9" * 5000, "[" * 3000, "{" * 3000),
)
_LONG_WORD = "1" * 140_000
"""Above the limit of Python's csv; rarely, since other readers take long for it."""
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**400, float("nan"), float("inf"), "", "x", "\0"),
    *("\ud800", "\udcff", "../../etc/passwd", [], [[]], [None], {}, {"a": None}, [1, 2, 3], "9" * 400),
)
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")


def damaged(path: Path, data: bytes, rng: Random) -> bytes:
    """Other content for a file, by one to three small changes or a change of what its format means."""
    kind = path.suffix
    by_format = {".json": _json, ".jsonl": _json_lines, ".db": _database}.get(kind)
    if by_format is not None and rng.random() < 0.7:
        return by_format(data, rng, path)
    changes = _TEXT if kind in _TEXT_SUFFIXES else _BINARY
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(changes)(data, rng)
    return data


def _flip(data: bytes, rng: Random) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _truncate(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _insert(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 4, 8, 100))) + data[at:]


def _repeat(data: bytes, rng: Random) -> bytes:
    begin, at = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return data[:at] + data[begin : begin + rng.choice((1, 8, 64, 1000))] + data[at:]


def _remove(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 4, 8, 100)) :]


def _number(data: bytes, rng: Random) -> bytes:
    """A count, an id or a float, most often one of the first, which announce sizes."""
    layout, values = rng.choice((("<Q", _INTEGERS), ("<I", _INTEGERS), ("<d", _FLOATS), ("<f", _FLOATS)))
    size, value = struct.calcsize(layout), rng.choice(values)
    if len(data) < size:
        return data
    at = rng.choice((0, rng.randrange(min(len(data) - size + 1, 64)), rng.randrange(len(data) - size + 1)))
    if layout == "<I":
        value = int(value) % 2**32
    if layout == "<f" and abs(value) > 1e38:
        value = float("inf")
    return data[:at] + struct.pack(layout, value) + data[at + size :]


def _word(data: bytes, rng: Random) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    chosen = rng.choice(found)
    text = _LONG_WORD if rng.random() < 0.005 else rng.choice(_WORDS)
    word = text.encode("utf-8", errors="surrogatepass")
    return data[: chosen.start()] + word + data[chosen.end() :]


def _lines(data: bytes, rng: Random) -> bytes:
    lines = data.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[a], lines[b] = lines[b], lines[a]
        case 1:
            lines.insert(a, lines[b])
        case 2:
            del lines[a]
        case _:
            lines[a] = lines[a].replace(rng.choice((b" ", b",", b":", b"\t")), rng.choice((b"", b";", b"  ")))
    return b"\n".join(lines)


_BINARY = (_flip, _truncate, _insert, _repeat, _remove, _number, _number, _number)
_TEXT = (_flip, _truncate, _insert, _repeat, _remove, _word, _word, _word, _lines)
_TEXT_SUFFIXES = frozenset({".txt", ".csv", ".json", ".jsonl", ".yaml"})


def _json(data: bytes, rng: Random, _: Path) -> bytes:
    try:
        content = json.loads(data)
    except ValueError:
        return data
    return json.dumps(_changed(content, rng)).encode("ascii")


def _json_lines(data: bytes, rng: Random, path: Path) -> bytes:
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 5))):
        at = rng.randrange(len(lines))
        lines[at] = _json(lines[at], rng, path)
    return b"\n".join(lines)


def _changed(content: Any, rng: Random) -> Any:
    """The value with one part, at any depth, replaced, dropped or called otherwise."""
    if not isinstance(content, dict | list) or not content or rng.random() < 0.1:
        return rng.choice(_VALUES)
    key = rng.choice(list(content) if isinstance(content, dict) else range(len(content)))
    if rng.random() < 0.15:
        value = content.pop(key)
        if isinstance(content, dict) and rng.random() < 0.5:
            content[rng.choice(("", "x", "\0", "\ud800", f"{key}2"))] = value
    else:
        content[key] = _changed(content[key], rng)
    return content


def _database(data: bytes, rng: Random, path: Path) -> bytes:
    """A value, a row or a table of a SQLite file changed by SQL, as somebody else's program might."""
    path.write_bytes(data)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA foreign_keys = OFF")
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for _ in range(rng.choice((1, 1, 2))):
            _change_table(db, rng.choice(sorted(t for t in tables if not t.startswith("sqlite_"))), rng)
    return path.read_bytes()


def _change_table(db: sqlite3.Connection, table: str, rng: Random) -> None:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    rows = [row[0] for row in db.execute(f"SELECT rowid FROM {table}")]
    column, choice = rng.choice(columns) if columns else None, rng.random()
    if column is None:
        return
    if choice < 0.04:
        db.execute(f"DROP TABLE {table}")
    elif choice < 0.08:
        db.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
    elif choice < 0.15:
        # Without its constraints, as tables of other programs are, so that rows may occur twice.
        db.execute(f"CREATE TABLE copied AS SELECT * FROM {table}")
        db.execute(f"INSERT INTO copied SELECT * FROM {table}")
        db.execute(f"DROP TABLE {table}")
        db.execute(f"ALTER TABLE copied RENAME TO {table}")
    elif choice < 0.2 and rows:
        db.execute(f"DELETE FROM {table} WHERE rowid = ?", (rng.choice(rows),))
    elif rows:
        row = rng.choice(rows)
        (value,) = db.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
        changed = _changed_value(value, rng)
        try:
            db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row))
        except sqlite3.IntegrityError:
            return


def _changed_value(value: Any, rng: Random) -> Any:
    if isinstance(value, bytes) and rng.random() < 0.7:
        return rng.choice(_BINARY)(value, rng)
    numbers = (None, 0, -1, 1, 3, 7, 2**31, 2**40, 2**63 - 1, -(2**63), 0.5, float("nan"), float("inf"))
    return rng.choice((*numbers, "", "x", "7", b"", b"\0" * 8, b"\xff" * 32, rng.randbytes(72)))
