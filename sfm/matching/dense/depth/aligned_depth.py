"""Depth of every pixel as an alignment found it, kept for exports: one file a photo, written whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sfm.files.atomic import atomic_write_bytes
from sfm.global_alignment.sparse.dense import DenseView

log = logging.getLogger(__name__)

FOLDER = "aligned"
"""In the cache of a workspace."""


@dataclass(frozen=True, slots=True)
class DepthOrigin:
    """What network depth comes from."""

    network: str
    """Identity of its weights."""
    notice: str
    """Their licence."""


@dataclass(frozen=True, slots=True)
class AlignedDepthFiles:
    """Aligned views by content of the photo (1.6 MB each at 512 x 384 px), in a folder for each alignment."""

    folder: Path

    def put(self, views: Mapping[str, DenseView], origin: DepthOrigin) -> str:
        """Keep all views of one alignment; returns the key of its folder, a hash of all that is kept."""
        arrays = {content: _arrays(view) for content, view in sorted(views.items())}
        state = hashlib.blake2b(digest_size=16)
        for content, tensors in arrays.items():
            state.update(content.encode())
            for tensor in tensors.values():
                state.update(np.ascontiguousarray(tensor).tobytes())
        key = state.hexdigest()
        about = {"network": origin.network, "notice": origin.notice}
        for content, tensors in arrays.items():
            atomic_write_bytes(self._path(key, content), save(tensors, about))
        return key

    def holds(self, key: str, contents: Iterable[str]) -> bool:
        """Whether an alignment has all of these photos."""
        return all(self._path(key, content).is_file() for content in contents)

    def origin(self, key: str, content: str) -> DepthOrigin | None:
        """What network the depth of a photo comes from; None where its file is gone or damaged."""
        path = self._path(key, content)
        try:
            with safe_open(path, framework="np") as file:
                about = file.metadata() or {}
                return DepthOrigin(about["network"], about["notice"])
        except (OSError, SafetensorError, KeyError):
            _remove(path)
            return None

    def view(self, key: str, content: str) -> DenseView | None:
        """The view of a photo; None where its file is gone or damaged."""
        path = self._path(key, content)
        try:
            with safe_open(path, framework="np") as file:
                return _view(*(file.get_tensor(name) for name in ("depth", "confidence", "camera")))
        except (OSError, SafetensorError, ValueError):
            _remove(path)
            return None

    def _path(self, key: str, content: str) -> Path:
        return self.folder / key / content[:2] / f"{content}.safetensors"


def _remove(path: Path) -> None:
    if path.is_file():
        log.warning("%s is damaged and was removed; `sfm run` with the same options makes it again", path)
        path.unlink(missing_ok=True)


def _arrays(view: DenseView) -> dict[str, NDArray[np.generic]]:
    camera = [view.focal_px, *view.principal_point, *view.rotation.reshape(-1), *view.centre]
    return {
        "depth": np.ascontiguousarray(view.depth, np.float32),
        "confidence": np.ascontiguousarray(view.confidence, np.float32),
        "camera": np.array(camera, np.float64),
    }


def _view(
    depth: NDArray[np.generic], confidence: NDArray[np.generic], camera: NDArray[np.generic]
) -> DenseView:
    """Raises ValueError where arrays contradict each other."""
    if depth.ndim != 2 or depth.shape != confidence.shape or depth.dtype != np.float32:
        raise ValueError("depth and confidence of different sizes")
    if camera.shape != (15,) or camera.dtype != np.float64 or not np.isfinite(camera.astype(float)).all():
        raise ValueError("no camera")
    focal, x, y, *rest = camera.astype(float).tolist()
    return DenseView(
        depth.astype(np.float64),
        confidence.astype(np.float64),
        focal,
        (x, y),
        np.array(rest[:9]).reshape(3, 3),
        np.array(rest[9:]),
    )
