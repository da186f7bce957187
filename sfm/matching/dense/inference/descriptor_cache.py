"""Retrieval's descriptors of photos on disk, made while the encoder's output is still unrounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sfm.files.atomic import atomic_write_bytes

_DESCRIPTORS = "descriptors"


class DescriptorCache:
    """Descriptors by content of photo, one file a photo; the official head's take 1.2 MB.

    Args:
        folder: names everything that descriptors depend on besides the photo.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, content: str) -> bool:
        return self._path(content).is_file()

    def get(self, content: str) -> NDArray[np.float32] | None:
        """Descriptors (n, D), strongest first; None when they aren't there or the file is damaged."""
        path = self._path(content)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                found: NDArray[np.float32] = file.get_tensor(_DESCRIPTORS)
        except (OSError, SafetensorError):
            found = np.zeros(0, np.float32)
        if found.ndim == 2 and found.dtype == np.float32:
            return found
        path.unlink(missing_ok=True)
        return None

    def put(self, content: str, descriptors: NDArray[np.float32]) -> None:
        """Keep descriptors (n, D) of one photo."""
        atomic_write_bytes(self._path(content), save({_DESCRIPTORS: np.ascontiguousarray(descriptors)}))

    def _path(self, content: str) -> Path:
        return self.folder / content[:2] / f"{content}.safetensors"
