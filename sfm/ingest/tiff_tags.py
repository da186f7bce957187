"""The size of all values that the tags of a TIFF or of EXIF claim, found without reading the values."""

from __future__ import annotations

import struct
from typing import BinaryIO

_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Of one value, by type."""
_TABLES = frozenset({34665, 34853, 40965})
"""Tags that lead to further tables: Exif, GPS, interoperability."""
_MAX_TABLES = 16


def claimed_bytes(file: BinaryIO, length: int) -> int:
    """Bytes that reading all tags takes, those of the first directory and of the tables that it leads to.

    Tags may share their bytes, so that a small file claims terabytes. The file is a TIFF of `length` bytes,
    or EXIF without its prefix; of anything else the answer is 0.
    """
    file.seek(0)
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 16:
        return 0
    is_big = struct.unpack(f"{order}H", start[2:4])[0] == 43
    (first,) = struct.unpack(f"{order}Q", start[8:16]) if is_big else struct.unpack(f"{order}I", start[4:8])
    pending, seen, claimed = [first], set[int](), 0
    while pending and len(seen) < _MAX_TABLES:
        place = pending.pop()
        if place in seen or place >= length:
            continue
        seen.add(place)
        for tag, kind, count, value in _entries(file, place, order, is_big=is_big):
            claimed += min(_BYTES.get(kind, 1) * count, length)
            if tag in _TABLES:
                pending.append(value)
    return claimed


def _entries(file: BinaryIO, place: int, order: str, *, is_big: bool) -> list[tuple[int, int, int, int]]:
    number, entry = (f"{order}Q", f"{order}HHQQ") if is_big else (f"{order}H", f"{order}HHII")
    file.seek(place)
    data = file.read(struct.calcsize(number))
    if len(data) < struct.calcsize(number):
        return []
    size = struct.calcsize(entry)
    # No more than a directory can have; a damaged one must not be read to the end of the file.
    data = file.read(size * min(struct.unpack(number, data)[0], 1 << 16))
    return list(struct.iter_unpack(entry, data[: len(data) // size * size]))
