"""All directions of the network in which one photo is view 1, on disk: one file a photo, written whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sfm.files.atomic import atomic_write_bytes
from sfm.global_alignment.sparse.canonical import SUBSAMPLE_PX, CanonicalSums
from sfm.global_alignment.sparse.problem import Predicted
from sfm.untrusted.documents import fits, parsed_json

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SeenFrom:
    """One direction: what the network says of a second photo beside the first."""

    pixels: NDArray[np.int64]
    """(K, 2) matched pixels of the first and the second photo, x + width * y."""
    confidence: NDArray[np.float32]
    """(K, 2) of their descriptors."""
    predicted: Predicted
    """The second photo, in the camera frame of the first."""


class DirectionFiles:
    """Directions by content of the first photo (11 MB at 512 x 384 px, and 50 kB a second photo).

    Args:
        folder: names everything that directions depend on besides the photos.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sums(self, content: str, size: tuple[int, int]) -> CanonicalSums:
        """The sums of a photo's own pointmaps; empty where none are kept, for an image of `size` (H, W)."""

        def read(file: Any) -> CanonicalSums:
            sums, count = CanonicalSums(size), parsed_json(file.metadata()["count"])
            if type(count) is not int:
                raise ValueError("count is no number")
            sums.restore(count, {name: file.get_tensor(f"sums.{name}") for name in sums.arrays()})
            return sums

        return self._read(content, read) or CanonicalSums(size)

    def partners(self, content: str) -> list[str]:
        """Contents of the second photos of all kept directions of a photo."""
        return self._read(content, _partners) or []

    def seen(self, content: str, second: str) -> SeenFrom | None:
        """One direction; None where it is not kept."""

        def read(file: Any) -> SeenFrom | None:
            partners = _partners(file)
            return _seen(file, partners.index(second)) if second in partners else None

        return self._read(content, read)

    def put(self, content: str, sums: CanonicalSums, seen: Mapping[str, SeenFrom]) -> None:
        """Keep all directions of one photo, by content of the second photo, in place of those before."""
        arrays: dict[str, NDArray[np.generic]] = {f"sums.{name}": s for name, s in sums.arrays().items()}
        for number, one in enumerate(seen.values()):
            arrays[f"{number}.pixels"] = np.ascontiguousarray(one.pixels, np.int64)
            arrays[f"{number}.confidence"] = np.ascontiguousarray(one.confidence, np.float32)
            arrays[f"{number}.points"] = np.asarray(one.predicted.points, np.float32)
            arrays[f"{number}.point_confidence"] = np.asarray(one.predicted.confidence, np.float32)
        header = {"count": json.dumps(sums.count), "partners": json.dumps(list(seen))}
        atomic_write_bytes(self._path(content), save(arrays, header))

    def _read(self, content: str, read: Callable[[Any], T]) -> T | None:
        """What `read` finds in the file of a photo; None without one. A damaged file is removed."""
        path = self._path(content)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                return read(file)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            log.warning("%s is damaged; its pairs are computed again", path)
            path.unlink(missing_ok=True)
            return None

    def _path(self, content: str) -> Path:
        return self.folder / content[:2] / f"{content}.safetensors"


def _partners(file: Any) -> list[str]:
    """Raises ValueError where they are no list of texts."""
    partners = parsed_json(file.metadata()["partners"])
    if not fits(partners, [str]):
        raise ValueError("partners are no texts")
    return list(partners)


def _seen(file: Any, number: int) -> SeenFrom:
    """Raises ValueError where arrays contradict each other."""
    pixels, confidence = file.get_tensor(f"{number}.pixels"), file.get_tensor(f"{number}.confidence")
    points, certain = file.get_tensor(f"{number}.points"), file.get_tensor(f"{number}.point_confidence")
    if (
        pixels.dtype != np.int64
        or pixels.ndim != 2
        or pixels.shape != confidence.shape
        or pixels.shape[1] != 2
    ):
        raise ValueError("matches and confidences of different numbers")
    if certain.ndim != 1 or points.shape != (len(certain), 3):
        raise ValueError("points and confidences of different numbers")
    predicted = Predicted(points.astype(np.float64), certain.astype(np.float64))
    return SeenFrom(pixels, confidence, predicted)


def sampled(points: NDArray[np.floating], confidence: NDArray[np.floating]) -> Predicted:
    """One point a block of a pointmap (H, W, 3), that of its upper-left pixel as in the published code."""
    step = slice(None, None, SUBSAMPLE_PX)
    return Predicted(
        np.asarray(points[step, step], np.float64).reshape(-1, 3),
        np.asarray(confidence[step, step], np.float64).reshape(-1),
    )
