"""The photos of a run as the network takes them: read, resized, encoded once, and found again on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

import torch

from sfm.errors import SfmError
from sfm.ingest.decode import UnusablePhotoError, load_rgb
from sfm.mast3r.image_input import network_photo, pixel_map
from sfm.mast3r.predictor import EncodedPhoto, NetworkPhoto, PairPredictor
from sfm.progress import Progress
from sfm.types import Collection, Photo

from .memory import OUT_OF_MEMORY, is_memory_error, memory_errors_halve, release_memory
from .photo_map import PhotoMap
from .recent import Recent
from .token_cache import TokenCache

_IN_MEMORY = 256
"""Photos; more than any batch of pairs has."""
_BATCH = 16


class NoMemoryForPhotoError(SfmError):
    """Memory ran out while one photo was encoded; later there may be enough."""


@dataclass(slots=True)
class EncodedPhotos:
    """Encoded photos by name; encodes what the cache doesn't hold."""

    photos: Mapping[str, Photo]
    maps: Mapping[str, PhotoMap]
    predictor: PairPredictor
    cache: TokenCache
    image_size: int
    threads: int
    _recent: Recent[str, EncodedPhoto] = field(
        default_factory=lambda: Recent(_IN_MEMORY, lambda _: 1), repr=False
    )

    def __getitem__(self, name: str) -> EncodedPhoto:
        """The encoded photo.

        Raises:
            OSError: the photo can no longer be read.
            UnusablePhotoError: nor be used.
            NoMemoryForPhotoError: it had to be encoded again, and memory ran out.
        """
        found = self._recent.get(name)
        if found is None:
            photo = self.photos[name]
            found = self.cache.get(photo.sha256, name, self.maps[name].size)
            if found is None:
                found = self._encode_alone(name)
            self._recent.put(name, found)
        return found

    def _encode_alone(self, name: str) -> EncodedPhoto:
        try:
            ((_, found),) = self._encode([self._load(name)])
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
        else:
            return found
        # After the handler, whose traceback would keep what the attempt allocated.
        release_memory()
        raise NoMemoryForPhotoError(f"{name} could not be encoded again: {OUT_OF_MEMORY}")

    def encode_missing(self, progress: Progress) -> tuple[int, dict[str, str]]:
        """Encode all photos that the cache lacks; returns how many, and why each of the others failed."""
        todo = [name for name in sorted(self.photos) if self.photos[name].sha256 not in self.cache]
        todo.sort(key=lambda name: self.maps[name].size)
        failed: dict[str, str] = {}
        with progress.task("describe", len(todo), unit="photos") as task:
            for _, same_size in groupby(todo, key=lambda name: self.maps[name].size):
                for names in _batches(list(same_size), _BATCH if self.predictor.device.type != "cpu" else 2):
                    for name, encoded in self._encode_readable(names, failed):
                        self._recent.put(name, encoded)
                    task.advance(len(names))
        return len(todo) - len(failed), failed

    def _encode_readable(
        self, names: Sequence[str], failed: dict[str, str]
    ) -> Iterator[tuple[str, EncodedPhoto]]:
        loaded: list[NetworkPhoto] = []
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for name, outcome in zip(names, pool.map(_attempt(self._load), names), strict=True):
                if isinstance(outcome, str):
                    failed[name] = outcome
                else:
                    loaded.append(outcome)

        def give_up(photos: Sequence[NetworkPhoto], why: str) -> None:
            failed.update({photo.name: why for photo in photos})

        for batch in memory_errors_halve(loaded, self._encode, give_up):
            for name, encoded in batch:
                if torch.isfinite(encoded.tokens.float()).all():
                    yield name, encoded
                else:
                    failed[name] = "the network's output for it is not finite; try mast3r.precision=fp32"

    def _load(self, name: str) -> NetworkPhoto:
        pixels = load_rgb(self.photos[name].path)
        return network_photo(pixels, name, size=self.image_size)[0]

    def _encode(self, photos: Sequence[NetworkPhoto]) -> list[tuple[str, EncodedPhoto]]:
        tokens = self.predictor.encode(photos)
        encoded = []
        for photo, rows in zip(photos, tokens, strict=True):
            # As the cache gives them back, so that results don't depend on whether a photo was just encoded.
            stored = rows.detach().to("cpu", torch.bfloat16)
            if torch.isfinite(stored).all():
                self.cache.put(self.photos[photo.name].sha256, stored)
            encoded.append((photo.name, EncodedPhoto(photo.name, stored, photo.size)))
        return encoded


def photo_maps(collection: Collection, image_size: int) -> tuple[dict[str, PhotoMap], dict[str, str]]:
    """Where each photo's network pixels lie, and name and reason of photos that the network cannot take."""
    maps: dict[str, PhotoMap] = {}
    refused: dict[str, str] = {}
    for photo in collection.photos:
        stored = (photo.width, photo.height)
        upright = stored if photo.orientation < 5 else stored[::-1]
        try:
            maps[photo.name] = PhotoMap(
                pixel_map(upright, photo.name, size=image_size), stored, photo.orientation
            )
        except SfmError as error:
            refused[photo.name] = str(error).removeprefix(f"{photo.name}: ")
    return maps, refused


def _attempt(load: Callable[[str], NetworkPhoto]) -> Callable[[str], NetworkPhoto | str]:
    def attempt(name: str) -> NetworkPhoto | str:
        try:
            return load(name)
        except MemoryError:
            return OUT_OF_MEMORY
        except (OSError, UnusablePhotoError, SfmError) as error:
            return str(error) or type(error).__name__

    return attempt


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
