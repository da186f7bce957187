"""Positions by GPS that exported photos carry: found, and taken out without touching a pixel.

The place where a photo was taken is overwritten in place, so that nothing else in the file moves. It is in
the GPS table of EXIF, and in XMP properties whose names begin with GPS, as drones write them.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from sfm.errors import InputError
from sfm.files.atomic import atomic_write_bytes
from sfm.ingest.decode import UnusablePhotoError, open_photo

_GPS_TAG, _EXIF_TAG, _MAKER_NOTE = 0x8825, 0x8769, 0x927C
_EXIF = re.compile(rb"\xff\xe1..Exif\0\0(?=II\*\0|MM\0\*)", re.DOTALL)
_PACKET = re.compile(rb"<x:xmpmeta.*?</x:xmpmeta>", re.DOTALL)
_PROPERTY = re.compile(
    rb"[\w-]+:GPS\w*\s*=\s*(?:\"[^\"]*\"|'[^']*')|<([\w-]+:GPS\w*)\b[^>]*>.*?</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MOST_TABLES = 64


def has_gps(path: Path) -> bool:
    """Whether a photo holds the place where it was taken."""
    data = path.read_bytes()
    return without_gps(data) != data


def strip_gps(path: Path) -> bool:
    """Replace a photo of ours by one without the place where it was taken; its pixels keep their bytes.

    Returns:
        Whether the camera maker's own notes, whose format is not public, stay in it.

    Raises:
        InputError: it still holds a place, in a form that is not supported here.
    """
    data = path.read_bytes()
    stripped = without_gps(data)
    if stripped != data:
        atomic_write_bytes(path, stripped)
    try:
        with open_photo(path) as photo:
            left = bool(photo.getexif().get_ifd(_GPS_TAG))
            noted = _MAKER_NOTE in photo.getexif().get_ifd(_EXIF_TAG)
    except (OSError, UnusablePhotoError) as error:
        raise InputError(f"{path.name} cannot be read any more: {error}") from error
    if left:
        raise InputError(f"{path.name}: its GPS position cannot be removed", hint="do so beforehand")
    return noted


def without_gps(data: bytes) -> bytes:
    """The bytes of a JPEG, MPO, TIFF or PNG file without GPS; the same ones where there is none."""
    if data.startswith(_PNG):
        return _png_without(data)
    found = bytearray(data)
    starts = [0] if data.startswith(_TIFF) else [match.end() for match in _EXIF.finditer(data)]
    for start in starts:
        _clear_tables(found, start)
    for packet in _PACKET.finditer(data):
        found[packet.start() : packet.end()] = _PROPERTY.sub(_blank, packet[0])
    return bytes(found)


def _blank(match: re.Match[bytes]) -> bytes:
    return b" " * len(match[0])


def _png_without(data: bytes) -> bytes:
    """Chunk by chunk: EXIF cleared, and texts left out that hold a position or another program's EXIF."""
    parts, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        chunk = data[place : place + 12 + length]
        place += 12 + length
        if kind == b"eXIf":
            cleared = bytearray(body)
            _clear_tables(cleared, 0)
            if cleared != body:
                check = zlib.crc32(kind + cleared)
                chunk = struct.pack(">I", length) + kind + bytes(cleared) + struct.pack(">I", check)
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or not _holds_position(kind, body):
            parts.append(chunk)
    return b"".join([*parts, data[place:]])


def _holds_position(kind: bytes, body: bytes) -> bool:
    keyword, _, text = body.partition(b"\0")
    if keyword.startswith(b"Raw profile type"):
        return keyword.split()[-1].lower() in (b"exif", b"app1", b"xmp")
    if kind == b"iTXt" and keyword == b"XML:com.adobe.xmp":
        return text[:1] == b"\1" or _PROPERTY.search(text) is not None
    return False


def _clear_tables(data: bytearray, start: int) -> None:
    """Take the GPS table out of the TIFF structure that begins at `start`, each offset checked."""
    order = "<" if data[start : start + 2] == b"II" else ">"
    table = _read(data, f"{order}I", start + 4)
    for _ in range(_MOST_TABLES):
        count = _read(data, f"{order}H", start + table) if table else 0
        entries = start + table + 2
        if not count or entries + 12 * count + 4 > len(data):
            return
        following = _read(data, f"{order}I", entries + 12 * count)
        for number in reversed(range(count)):
            tag = _read(data, f"{order}H", entries + 12 * number)
            if tag == _GPS_TAG:
                _clear_gps(data, start, _read(data, f"{order}I", entries + 12 * number + 8), order)
                end = entries + 12 * count + 4
                data[entries + 12 * number : end] = data[entries + 12 * (number + 1) : end] + bytes(12)
                count -= 1
                struct.pack_into(f"{order}H", data, start + table, count)
        table = following


def _clear_gps(data: bytearray, start: int, table: int, order: str) -> None:
    count, entries = _read(data, f"{order}H", start + table), start + table + 2
    for place in range(entries, min(entries + 12 * count, len(data) - 11), 12):
        size = _TYPE_BYTES.get(_read(data, f"{order}H", place + 2), 0) * _read(data, f"{order}I", place + 4)
        value = start + _read(data, f"{order}I", place + 8)
        if 4 < size <= len(data) - value:
            data[value : value + size] = bytes(size)
        data[place : place + 12] = bytes(12)
    if start + table + 2 <= len(data):
        data[start + table : start + table + 2] = bytes(2)


def _read(data: bytearray, form: str, place: int) -> int:
    if place + struct.calcsize(form) > len(data):
        return 0
    return int(struct.unpack_from(form, data, place)[0])
