"""Names of images: those that every trainer's reader survives, and the first few for a message."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

_MAX_LETTERS = 200
"""Of a stem: leaves room for a number, an extension, and what trainers append, below the 255 of a disk."""
_NUM_LISTED = 3
_KEPT_FORMATS = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}


def flat_names(names: Iterable[str]) -> Mapping[str, str]:
    """A flat, unique, plain name for each image name: `a/b c.v1.JPG` becomes `a__b_c_v1.jpg`.

    Gaussian-splatting readers drop folders, cut a name at its first dot and decode it byte by byte. So
    folders are joined, stems differ even without extension and case, and only ASCII letters, digits, `_` and
    `-` stay. Formats other than JPEG and PNG become PNG. Names too long for a disk are cut, and end in a hash
    of the whole name.
    """
    flat: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        path = PurePosixPath(name)
        stem = _unique(_short(_plain("__".join((*path.parts[:-1], path.stem))), name), taken)
        taken.add(stem.casefold())
        flat[name] = stem + _KEPT_FORMATS.get(path.suffix.lower(), ".png")
    return flat


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]", "_", ascii_text) or "image"


def _short(stem: str, name: str) -> str:
    if len(stem) <= _MAX_LETTERS:
        return stem
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"{stem[: _MAX_LETTERS - len(digest) - 1]}_{digest}"


def _unique(stem: str, taken: set[str]) -> str:
    candidate, number = stem, 2
    while candidate.casefold() in taken:
        candidate, number = f"{stem}_{number}", number + 1
    return candidate


def listed(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:_NUM_LISTED]) + (", …" if len(names) > _NUM_LISTED else "")
