"""Both directions of pairs through the network, grouped by first photo, whose pointmaps are summed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval import Pair
from sfm.config.schema import Mast3rConfig
from sfm.global_alignment.sparse.canonical import CanonicalSums
from sfm.mast3r.network.predictor import EncodedPhoto, PairPredictor
from sfm.workspace.progress import Progress

from ..inference.decoded_direction import matched, matched_maps
from ..inference.inference import NOT_FINITE
from ..inference.memory import guess_batch, in_batches
from ..inference.photos import EncodedPhotos
from .photo_directions import DirectionFiles, SeenFrom, sampled


class _Computed(NamedTuple):
    """The direction to one partner."""

    partner: str
    pointmap: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Of the first photo: points (H, W, 3) and confidence (H, W)."""
    seen: SeenFrom


@dataclass(frozen=True, slots=True)
class DirectionInference:
    """Computes and keeps the directions of pairs of photos."""

    predictor: PairPredictor
    photos: EncodedPhotos
    config: Mast3rConfig
    files: DirectionFiles

    def complete(self, pairs: Sequence[Pair], progress: Progress) -> dict[Pair, str]:
        """Compute the directions of pairs that no file holds; a kill loses those of one photo.

        Returns:
            Pairs that failed for a reason of this run, with the reason.
        """
        partners: dict[str, list[str]] = {}
        for pair in pairs:
            partners.setdefault(pair.a, []).append(pair.b)
            partners.setdefault(pair.b, []).append(pair.a)
        failed: dict[Pair, str] = {}
        with progress.task("match", 2 * len(pairs), unit="directions") as task:
            for first in sorted(partners):
                for second, why in self._complete_photo(first, sorted(partners[first])).items():
                    failed[Pair.of(first, second)] = why
                task.advance(len(partners[first]))
        return failed

    def _complete_photo(self, first: str, partners: Sequence[str]) -> dict[str, str]:
        """Pairs of one photo; returns partners that failed, with the reason."""
        own = self.photos.photos[first].sha256
        contents = {name: self.photos.photos[name].sha256 for name in partners}
        known = set(self.files.partners(own))
        todo = [name for name in partners if contents[name] not in known]
        if not todo:
            return {}
        # A file that turns out to be damaged here is gone: nothing is known of the photo any more.
        kept = {content: found for content in known if (found := self.files.seen(own, content)) is not None}
        sums = self.files.sums(own, self.photos.maps[first].size)
        if sums.count != len(kept):
            kept, sums, todo = {}, CanonicalSums(self.photos.maps[first].size), list(partners)
        failed: dict[str, str] = {}
        for second, pointmap, seen in self._computed(first, todo, failed):
            sums.add(*pointmap)
            kept[contents[second]] = seen
        if kept:
            self.files.put(own, sums, kept)
        return failed

    def _computed(self, first: str, partners: Sequence[str], failed: dict[str, str]) -> Iterator[_Computed]:
        """The direction to each partner; those that could not be computed go to `failed`."""
        encoded: dict[str, EncodedPhoto] = {}
        for name in (first, *partners):
            photo = self.photos.find(name)
            if not isinstance(photo, str):
                encoded[name] = photo
            elif name == first:
                failed.update(dict.fromkeys(partners, photo))
                return
            else:
                failed[name] = photo

        def give_up(names: Sequence[str], why: str) -> None:
            failed.update(dict.fromkeys(names, why))

        def infer(names: Sequence[str]) -> list[_Computed]:
            return list(self._infer(encoded[first], [encoded[name] for name in names], failed))

        maps = self.photos.maps
        readable = sorted((name for name in partners if name in encoded), key=lambda name: maps[name].size)
        for size, group in groupby(readable, key=lambda name: maps[name].size):
            pixels = size[0] * size[1] + maps[first].size[0] * maps[first].size[1]
            batch = self.config.batch_size or guess_batch(pixels, self.predictor.device)
            for found in in_batches(list(group), batch, infer, give_up):
                yield from found

    def _infer(
        self, first: EncodedPhoto, partners: Sequence[EncodedPhoto], failed: dict[str, str]
    ) -> Iterator[_Computed]:
        with torch.inference_mode():
            decoded = self.predictor.decode([first] * len(partners), partners)
            points = decoded.points(1), decoded.points(2)
            maps = (matched_maps(decoded, 1), matched_maps(decoded, 2)) if decoded.has_descriptors else points
            outputs = [tensor for both in (*maps, *points) for tensor in both]
            finite = torch.stack([torch.isfinite(t).flatten(1).all(dim=1) for t in outputs]).all(dim=0)
            for row, partner in enumerate(partners):
                if not finite[row]:
                    failed[partner.name] = NOT_FINITE
                    continue
                a, b = ((values[row], certain[row]) for values, certain in maps)
                found = matched(decoded, a, b, self.config.subsample_px)
                own, other = ([_array(tensor[row]) for tensor in both] for both in points)
                seen = SeenFrom(
                    torch.stack((found.pixels_a, found.pixels_b), dim=1).cpu().numpy(),
                    torch.stack((found.confidence_a, found.confidence_b), dim=1).cpu().numpy(),
                    sampled(other[0], other[1]),
                )
                yield _Computed(partner.name, (own[0], own[1]), seen)


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = tensor.float().cpu().numpy()
    return found
