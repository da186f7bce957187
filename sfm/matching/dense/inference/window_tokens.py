"""Windows of photos after the encoder: encoded when first asked for, kept in memory within a bound."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from sfm.errors import SfmError
from sfm.ingest.decode import UnusablePhotoError, load_rgb
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.mast3r.values import TurnedMap

from .lru_cache import Recent
from .memory import OUT_OF_MEMORY, in_batches
from .photos import EncodedPhotos
from .windows import Windows, lay_windows, turned, upright_size

log = logging.getLogger(__name__)

_MAX_TOKEN_BYTES = 1_000_000_000
"""Tokens of about 600 windows of 512 x 384 px."""
_MAX_PIXEL_BYTES = 300_000_000
_BATCH = {"cuda": 16}


@dataclass(slots=True)
class WindowTokens:
    """Encoded windows by photo and index."""

    photos: EncodedPhotos
    max_windows: int
    """Pairs of windows that are matched for a pair of photos."""
    cameras: Mapping[str, pycolmap.Camera] = field(default_factory=dict)
    """Of photos whose windows are turned to look along their own axis."""
    num_encoded: int = 0
    """Windows that went through the encoder so far."""
    _windows: dict[str, Windows] = field(default_factory=dict, repr=False)
    _tokens: Recent[tuple[str, int], EncodedPhoto] = field(
        default_factory=lambda: Recent(_MAX_TOKEN_BYTES, lambda photo: photo.tokens.nbytes), repr=False
    )
    _pixels: Recent[str, NDArray[np.uint8]] = field(
        default_factory=lambda: Recent(_MAX_PIXEL_BYTES, lambda pixels: pixels.nbytes), repr=False
    )

    def windows(self, name: str) -> Windows:
        """Where a photo's windows lie."""
        if name not in self._windows:
            photos = self.photos
            laid = lay_windows(photos.maps[name], photos.image_size, self.max_windows)
            camera = self.cameras.get(name)
            self._windows[name] = laid if camera is None else turned(laid, camera)
        return self._windows[name]

    def encoded(self, name: str, indices: Sequence[int]) -> dict[int, EncodedPhoto]:
        """Encoded windows of a photo by index; those that could not be read or encoded are missing.

        A photo that isn't cut is its own and only window.
        """
        windows = self.windows(name)
        if not windows.maps:
            whole = self._whole(name)
            return {} if whole is None else dict.fromkeys(indices, whole)
        found = {index: self._tokens.get((name, index)) for index in indices}
        here = {index: window for index, window in found.items() if window is not None}
        return here | self._encode(name, [index for index in found if index not in here])

    def _whole(self, name: str) -> EncodedPhoto | None:
        try:
            return self.photos[name]
        except (OSError, SfmError, UnusablePhotoError) as error:
            log.warning("%s: it is left out beside windows: %s", name, error)
            return None

    def _encode(self, name: str, indices: Sequence[int]) -> dict[int, EncodedPhoto]:
        pixels = self._read(name) if indices else None
        if pixels is None:
            return {}
        image = pixels

        def encode(some: Sequence[int]) -> dict[int, EncodedPhoto]:
            photos = [self._cut(name, index, image) for index in some]
            predictor = self.photos.predictor
            rows = predictor.encode(photos).detach().to("cpu", predictor.token_dtype)
            return {
                index: EncodedPhoto(name, tokens.clone(), photo.size, photo.window)
                for index, photo, tokens in zip(some, photos, rows, strict=True)
            }

        def give_up(some: Sequence[int], why: str) -> None:
            log.warning("%s: window %s is left out: %s", name, *some, why)

        fresh: dict[int, EncodedPhoto] = {}
        batch = _BATCH.get(self.photos.predictor.device.type, 2)
        for encoded in in_batches(indices, batch, encode, give_up):
            fresh |= encoded
        for index, window in fresh.items():
            self._tokens.put((name, index), window)
        self.num_encoded += len(fresh)
        return fresh

    def _cut(self, name: str, index: int, pixels: NDArray[np.uint8]) -> NetworkPhoto:
        windows = self.windows(name)
        window, (height, width) = windows.maps[index], windows.size
        if isinstance(window, TurnedMap):
            scale = np.divide(windows.resized, upright_size(windows.photo))
            matrix = np.diag([*scale, 1.0]) @ np.array(window.homography).reshape(3, 3)
            turned_to = (matrix / matrix[2, 2]).ravel()[:8].tolist()
            how = Image.Transform.PERSPECTIVE, turned_to, Image.Resampling.BICUBIC
            cut = np.asarray(Image.fromarray(pixels).transform((width, height), *how))
        else:
            x, y = window.crop
            cut = np.ascontiguousarray(pixels[y : y + height, x : x + width])
        return NetworkPhoto(name, cut, window)

    def _read(self, name: str) -> NDArray[np.uint8] | None:
        """Upright pixels (H, W, 3) that windows are cut from; None when the photo cannot be read any more."""
        pixels = self._pixels.get(name)
        if pixels is None:
            windows = self.windows(name)
            try:
                pixels = load_rgb(self.photos.photos[name].path)
            except (OSError, UnusablePhotoError, MemoryError) as error:
                log.warning("%s: its windows are left out: %s", name, str(error) or OUT_OF_MEMORY)
                return None
            whole = upright_size(windows.photo)
            if pixels.shape[1::-1] != whole:
                log.warning("%s: its windows are left out: the photo has changed", name)
                return None
            if windows.resized != whole:
                small = Image.fromarray(pixels).resize(windows.resized, Image.Resampling.LANCZOS)
                pixels = np.asarray(small)
            self._pixels.put(name, pixels)
        return pixels
