"""Thumbnails as data URIs within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sfm.ingest.decode import UnusablePhotoError, open_photo, reduced
from sfm.untrusted.names import UnusableNameError, path_below

_MAX_BYTES_EACH = 20_000
_MAX_BYTES_EACH_OF_MANY = 8_000
_MANY = 500
_MAX_BYTES_TOTAL = 22_000_000
"""Base64 adds a third: 30 MB in the page."""
_SIZES = ((256, 75), (192, 70), (128, 65), (96, 50), (64, 40))
"""Longer side in px and JPEG quality, tried in turn until the bytes suffice."""


def thumbnail_uris(names: Sequence[str], thumbnails: Mapping[str, Path], photos: Path) -> list[str]:
    """A JPEG data URI for each name, empty where there is no picture.

    `thumbnails` are small upright JPEG by name; a missing one is made from the photo in `photos`.
    """
    limit = _MAX_BYTES_EACH if len(names) <= _MANY else _MAX_BYTES_EACH_OF_MANY
    limit = min(limit, _MAX_BYTES_TOTAL // max(len(names), 1))

    def uri(name: str) -> str:
        small = _bytes(thumbnails.get(name), photos, name, limit)
        return f"data:image/jpeg;base64,{base64.b64encode(small).decode()}" if small else ""

    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(uri, names))


def _bytes(thumbnail: Path | None, photos: Path, name: str, limit: int) -> bytes:
    if thumbnail is not None and thumbnail.is_file():
        if thumbnail.stat().st_size <= limit:
            return thumbnail.read_bytes()
        return _reduced(thumbnail, limit)
    try:
        return _reduced(path_below(photos, name), limit)
    except UnusableNameError:  # of a database from elsewhere: its report has no picture of that photo
        return b""


def _reduced(path: Path, limit: int) -> bytes:
    try:
        with open_photo(path) as file:
            picture = reduced(file, 2 * _SIZES[0][0])
    except (OSError, UnusablePhotoError):
        return b""
    for size, quality in _SIZES:
        small = picture.copy()
        small.thumbnail((size, size))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit:
            return buffer.getvalue()
    return b""
