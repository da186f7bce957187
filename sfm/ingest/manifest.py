"""What is known of each file from earlier runs, so that only new and changed ones are decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sfm.files.atomic import atomic_write_bytes
from sfm.ingest.discover import FoundFile
from sfm.ingest.examine import Examined, Shelf, Unusable
from sfm.types import Exif
from sfm.untrusted.documents import fits, read_cache
from sfm.untrusted.names import path_below

_VERSION = 3
_FILE = "images.json"
_MASK_VALUES = 4
_SUFFIXES = ("", ".jpg", ".png")
_SHAPE = {
    "version": int,
    "thumbnail_size": int,
    "photos": {str: list},
    "masks": {str: [int]},
    "placed": [str],
}
_TEXT, _NUMBER = (str, None), (float, None)
_EXIF = {
    **dict.fromkeys(("make", "model"), _TEXT),
    **dict.fromkeys(("focal_px", "latitude_deg", "longitude_deg", "altitude_m", "timestamp_s"), _NUMBER),
}
_EXAMINED = {
    "sha256": str,
    "width": int,
    "height": int,
    "orientation": int,
    "exif": _EXIF,
    "device": str,
    "copy_suffix": str,
    "is_panorama": bool,
}
_UNUSABLE = {"reason": str, "lasting": bool}

Size = tuple[int, int]


class Manifest:
    """Results by relative path, file size and modification time, kept in `cache_dir/images.json`.

    A manifest that is missing, damaged or of other settings counts as empty.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._path = shelf.folder / _FILE
        self._settings = {"version": _VERSION, "thumbnail_size": shelf.thumbnail_size}
        self._shelf = shelf
        self._photos: dict[str, list[Any]] = {}
        self._masks: dict[str, list[Any]] = {}
        self.placed: frozenset[str] = frozenset()
        """Names of the files that earlier runs put into `images_dir`."""
        self._read()

    def photo(self, file: FoundFile) -> Examined | Unusable | None:
        """What was found out about this very file, or None."""
        entry = self._photos.get(file.name)
        if entry is None or entry[:2] != [file.size, file.mtime_ns]:
            return None
        known = _decoded(entry[2])
        if isinstance(known, Examined) and not self._shelf.holds(known):
            return None
        return known

    def set_photo(self, file: FoundFile, result: Examined | Unusable) -> None:
        """Remember a result; failures that may pass, such as missing permissions, are not remembered."""
        if isinstance(result, Unusable) and not result.lasting:
            return
        self._photos[file.name] = [file.size, file.mtime_ns, asdict(result)]

    def mask(self, path: Path) -> Size | None:
        """Width and height of a mask that was decoded before, or None."""
        entry = self._masks.get(str(path))
        return (entry[2], entry[3]) if entry is not None and entry[:2] == _state(path) else None

    def set_mask(self, path: Path, size: Size) -> None:
        """Remember that a mask is sound."""
        self._masks[str(path)] = [*_state(path), *size]

    def save(self, *, present: frozenset[str] | None = None) -> None:
        """Write the manifest, atomically; with `present`, entries of all other names are dropped."""
        if present is not None:
            self._photos = {name: entry for name, entry in self._photos.items() if name in present}
        content = {
            **self._settings,
            "photos": self._photos,
            "masks": self._masks,
            "placed": sorted(self.placed),
        }
        # Escaped, because names of files needn't be valid Unicode.
        atomic_write_bytes(self._path, json.dumps(content).encode("ascii"))

    def _read(self) -> None:
        content = read_cache(self._path, _SHAPE)
        if content is None:
            return
        self.placed = frozenset(content["placed"])
        if {key: content[key] for key in self._settings} != self._settings:
            return
        photos, masks = content["photos"], content["masks"]
        self._photos = {name: entry for name, entry in photos.items() if _is_entry(entry)}
        self._masks = {name: entry for name, entry in masks.items() if len(entry) == _MASK_VALUES}


def changed_photos(cache_dir: Path, images: Path, names: Iterable[str]) -> list[str]:
    """Of some photos below `images`, those that are not byte for byte what a run read; unknown ones are not.

    Raises:
        OSError: a photo cannot be read.
    """
    content = read_cache(cache_dir / _FILE, _SHAPE)
    known = {name: entry for name, entry in (content or {"photos": {}})["photos"].items() if _is_entry(entry)}
    return [name for name in names if name in known and _is_other(path_below(images, name), known[name])]


def _is_other(path: Path, entry: list[Any]) -> bool:
    """Whether a file has other bytes than a manifest says; those of the same size and time are not read."""
    if _state(path) == entry[:2] or "sha256" not in entry[2]:
        return False
    with path.open("rb") as stream:
        return bool(hashlib.file_digest(stream, "sha256").hexdigest() != entry[2]["sha256"])


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _is_entry(entry: list[Any]) -> bool:
    if len(entry) != 3 or not fits(entry[:2], [int]):
        return False
    found = entry[2]
    if fits(found, _EXAMINED):
        sizes = min(found["width"], found["height"], found["orientation"]) > 0
        plain = found["sha256"].isalnum() and len(found["sha256"]) <= 64 and found["copy_suffix"] in _SUFFIXES
        return sizes and plain and found.keys() == _EXAMINED.keys() and found["exif"].keys() == _EXIF.keys()
    return fits(found, _UNUSABLE) and found.keys() == _UNUSABLE.keys()


def _decoded(fields: dict[str, Any]) -> Examined | Unusable:
    if "reason" in fields:
        return Unusable(**fields)
    return Examined(**{**fields, "exif": Exif(**fields["exif"])})
