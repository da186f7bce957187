"""The photos of a run as the network takes them: read, resized, encoded once, and found again on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sfm.errors import SfmError
from sfm.ingest.decode import UnusablePhotoError, load_rgb
from sfm.mast3r.network.image_input import network_photo, pixel_map
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto, PairPredictor
from sfm.types import Collection, Photo
from sfm.workspace.progress import Progress

from .descriptor_cache import DescriptorCache
from .lru_cache import Recent
from .memory import OUT_OF_MEMORY, is_memory_error, memory_errors_halve, release_memory
from .photo_map import PhotoMap
from .token_cache import TokenCache

_MAX_TOKEN_BYTES = 400_000_000
"""Tokens of 256 photos of 512 x 384 px in bf16: more than any batch of pairs has."""
_BATCH = 16


_NOT_FINITE = "the network's output for it is not finite; try mast3r.precision=fp32"

T = TypeVar("T")


class NotFiniteError(SfmError):
    """What the network gives for a photo is NaN or infinite."""


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
    described: DescriptorCache | None = None
    """Retrieval's descriptors, which are made and kept while tokens are unrounded; None where nobody asks."""
    _recent: Recent[str, EncodedPhoto] = field(
        default_factory=lambda: Recent(_MAX_TOKEN_BYTES, lambda photo: photo.tokens.nbytes), repr=False
    )

    def __getitem__(self, name: str) -> EncodedPhoto:
        """The encoded photo.

        Raises:
            OSError, UnusablePhotoError, NoMemoryForPhotoError: it had to be encoded again, and could not.
        """
        found = self._recent.get(name)
        if found is None:
            photo = self.photos[name]
            found = self.cache.get(photo.sha256, name, self.maps[name].size)
            if found is None:
                found = self._alone(name, self._encode_one)
            self._recent.put(name, found)
        return found

    def find(self, name: str) -> EncodedPhoto | str:
        """The encoded photo, or why one that no cache holds could not be encoded again."""
        try:
            return self[name]
        except NoMemoryForPhotoError as error:
            return str(error)
        except (OSError, SfmError, UnusablePhotoError) as error:
            return f"{name} can no longer be read: {error}"

    def descriptors(self, name: str) -> NDArray[np.float32]:
        """Retrieval's descriptors (n, D) of a photo, all that the head gives, strongest first.

        Raises:
            OSError, UnusablePhotoError, NoMemoryForPhotoError: the photo had to be encoded again, and
                could not.
        """
        assert self.described is not None
        found = self.described.get(self.photos[name].sha256)
        return self._alone(name, self._describe_one) if found is None else found

    def encode_missing(self, progress: Progress) -> tuple[int, dict[str, str]]:
        """Encode and describe all photos that the caches lack: how many, and why each of the others
        failed."""
        todo = sorted(filter(self._lacks_tokens, self.photos))
        undescribed = {name for name in self.photos if self._lacks_descriptors(name)}
        if self._describes_along:
            todo, undescribed = sorted({*todo, *undescribed}), set()
        todo.sort(key=lambda name: self.maps[name].size)
        failed: dict[str, str] = {}
        with progress.task("describe", len(todo) + len(undescribed), unit="photos") as task:
            for _, same_size in groupby(todo, key=lambda name: self.maps[name].size):
                for names in _batches(list(same_size), _BATCH if self.predictor.device.type != "cpu" else 2):
                    for name, encoded in self._encode_readable(names, failed):
                        self._recent.put(name, encoded)
                    task.advance(len(names))
            for name in sorted(undescribed):
                outcome = failed.get(name) or _attempt(self.descriptors)(name)
                if isinstance(outcome, str):
                    failed[name] = outcome
                task.advance(1)
        return len({*todo, *undescribed}) - len(failed), failed

    @property
    def _describes_along(self) -> bool:
        """Whether the tokens of pairs are those that retrieval wants, too: images of the same size."""
        return self.described is not None and self.predictor.retrieval_size in (None, self.image_size)

    def _lacks_tokens(self, name: str) -> bool:
        return self.photos[name].sha256 not in self.cache

    def _lacks_descriptors(self, name: str) -> bool:
        return self.described is not None and self.photos[name].sha256 not in self.described

    def _alone(self, name: str, compute: Callable[[str], T]) -> T:
        try:
            return compute(name)
        except (RuntimeError, MemoryError) as error:
            if not is_memory_error(error):
                raise
        # After the handler, whose traceback would keep what the attempt allocated.
        release_memory()
        raise NoMemoryForPhotoError(f"{name} could not be encoded again: {OUT_OF_MEMORY}")

    def _encode_one(self, name: str) -> EncodedPhoto:
        ((_, found),) = self._encode([self._load(name)])
        return found

    def _describe_one(self, name: str) -> NDArray[np.float32]:
        photo = self._load(name, self.predictor.retrieval_size)
        rows = self.predictor.encode([photo])[0]
        if not torch.isfinite(rows).all():
            raise NotFiniteError(_NOT_FINITE)
        return self._describe(photo, rows)

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
                    failed[name] = _NOT_FINITE

    def _load(self, name: str, size: int | None = None) -> NetworkPhoto:
        pixels = load_rgb(self.photos[name].path)
        return network_photo(pixels, name, size=size or self.image_size)[0]

    def _encode(self, photos: Sequence[NetworkPhoto]) -> list[tuple[str, EncodedPhoto]]:
        tokens = self.predictor.encode(photos)
        encoded = []
        for photo, rows in zip(photos, tokens, strict=True):
            # As the cache gives them back, so that results don't depend on whether a photo was just encoded.
            stored = rows.detach().to("cpu", self.predictor.token_dtype, copy=True)
            if torch.isfinite(stored).all():
                if self._describes_along:
                    self._describe(photo, rows)
                self.cache.put(self.photos[photo.name].sha256, stored)
            encoded.append((photo.name, EncodedPhoto(photo.name, stored, photo.size)))
        return encoded

    def _describe(self, photo: NetworkPhoto, rows: torch.Tensor) -> NDArray[np.float32]:
        assert self.described is not None
        found = self.predictor.retrieval_features(EncodedPhoto(photo.name, rows, photo.size))
        self.described.put(self.photos[photo.name].sha256, found)
        return found


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


def _attempt(load: Callable[[str], T]) -> Callable[[str], T | str]:
    def attempt(name: str) -> T | str:
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
