"""Reduced grey photos, read when they are first asked for and kept in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfm.untrusted.names import UnusableNameError, path_below

from .decode import UnusablePhotoError, decode, open_photo, stored_size
from .deep_gray import eight_bit, is_deep

_LONG_SIDE = 640
_MAX_BYTES = 2 << 30
"""Kept in memory: of some 7,000 photos."""


@dataclass(frozen=True, slots=True)
class GreyPhotos:
    """Photos below a folder, at most 640 pixels long: a `PhotoSource` of registration."""

    folder: Path
    _kept: dict[str, NDArray[np.uint8] | None] = field(default_factory=dict, repr=False)

    def grey(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Grey values of a photo as it is stored, (H, W); None: unreadable, or not of this size."""
        if name not in self._kept:
            while sum(photo.nbytes for photo in self._kept.values() if photo is not None) > _MAX_BYTES:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = _grey(self.folder, name, size)
        return self._kept[name]

    def __getstate__(self) -> tuple[Path, dict[str, NDArray[np.uint8] | None]]:
        return self.folder, {}  # a process of its own reads what it needs


def _grey(folder: Path, name: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    factor = min(_LONG_SIDE / max(size), 1.0)
    width, height = (max(round(side * factor), 1) for side in size)
    try:
        with open_photo(path_below(folder, name)) as photo:
            if stored_size(photo) != size:
                return None
            photo.draft("L", (width, height))
            decode(photo)
            plain = eight_bit(photo) if is_deep(photo) else photo
            if (plain.width < plain.height) != (width < height):
                return None  # Pillow has turned it upright, which COLMAP does not
            return np.asarray(plain.convert("L").resize((width, height), Image.Resampling.BOX))
    except (OSError, UnusablePhotoError, UnusableNameError):
        return None
