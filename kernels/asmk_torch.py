"""ASMK scoring with torch, for a GPU; imported only where it runs.

A tile of queries is expanded to all its meetings with codes of the data base; they are compared at once,
added up into a tile of scores, and the best are chosen.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .values import Best, Codes, Postings, Queries, Weighting, weights_by_distance

_BYTES = 1 << 30
"""Memory of a tile's scores, and of the codes that it compares at a time."""
_MAX_QUERIES = 1024


class DevicePostings:
    """A data base on a device."""

    def __init__(self, postings: Postings, weighting: Weighting, device: str) -> None:
        self._device = torch.device(device)
        self._weighting = weighting
        self._offsets = self._sent(postings.offsets)
        self._images = self._sent(postings.images).long()
        self._codes = self._sent(_signed(postings.codes))
        self._norms = self._sent(postings.inverse_norms)
        self._table = self._sent(weights_by_distance(postings, weighting))
        num_images = len(postings.inverse_norms)
        if len(self._images) and not (int(self._images.min()) >= 0 and int(self._images.max()) < num_images):
            raise ValueError("asmk: the data base is damaged: it names images that it does not have")

    @torch.inference_mode()
    def top_k(self, k: int, queries: Queries, exclude: NDArray[np.int64]) -> Best:
        """The best images of a batch of queries, as `asmk.asmk_top_k`."""
        images = np.full((len(queries), k), -1, np.int32)
        scores = np.zeros((len(queries), k))
        tile = int(np.clip(_BYTES // (8 * max(1, len(self._norms))), 1, _MAX_QUERIES))
        for start in range(0, len(queries), tile):
            stop = min(start + tile, len(queries))
            table = self._scores(queries, start, stop)
            rows = torch.arange(stop - start, device=self._device)
            out = self._sent(exclude[start:stop])
            table[rows[out >= 0], out[out >= 0]] = 0.0
            best, ids = torch.sort(table, dim=1, descending=True, stable=True)
            count = min(k, table.shape[1])
            found = best[:, :count].cpu().numpy()
            images[start:stop, :count] = np.where(found > 0, ids[:, :count].cpu().numpy(), -1)
            scores[start:stop, :count] = np.maximum(found, 0.0)
        return images, scores

    def _scores(self, queries: Queries, start: int, stop: int) -> Tensor:
        rows = slice(int(queries.offsets[start]), int(queries.offsets[stop]))
        words = self._sent(queries.words[rows]).long()
        codes = self._sent(_signed(queries.codes_of(start, stop)))
        sizes = self._sent(np.diff(queries.offsets[start : stop + 1]))
        owners = torch.repeat_interleave(torch.arange(stop - start, device=self._device), sizes)
        num_images = len(self._norms)
        scores = torch.zeros((stop - start) * num_images, dtype=torch.float64, device=self._device)
        counts = self._offsets[words + 1] - self._offsets[words]
        for part in self._parts(counts):
            times = counts[part]
            before = torch.cumsum(times, 0) - times
            own = torch.repeat_interleave(torch.arange(part.start, part.stop, device=self._device), times)
            theirs = torch.arange(len(own), device=self._device)
            theirs += torch.repeat_interleave(self._offsets[words[part]] - before, times)
            weights = self._weights(codes[own], self._codes[theirs])
            scores.index_add_(0, owners[own] * num_images + self._images[theirs], weights)
        table = scores.view(stop - start, num_images)
        table *= self._norms
        table /= sizes.clamp(min=1).double().sqrt()[:, None]
        if not bool(torch.isfinite(table).all()):
            raise ValueError("asmk: the data base is damaged: its codes are not finite")
        return table

    def _parts(self, counts: Tensor) -> Iterator[slice]:
        """Runs of query codes that meet only so many codes as memory allows (or one query code)."""
        limit = max(1, _BYTES // (4 * max(1, self._codes[:1].nbytes)))
        ends = torch.cumsum(counts, 0).cpu().numpy()
        start, done = 0, 0
        while start < len(ends):
            stop = max(start + 1, int(np.searchsorted(ends, done + limit, side="right")))
            yield slice(start, stop)
            start, done = stop, int(ends[stop - 1])

    def _weights(self, ours: Tensor, theirs: Tensor) -> Tensor:
        if ours.dtype == torch.int64:
            return self._table[_bit_counts(ours ^ theirs).sum(1)]
        similarities = (ours * theirs).sum(1)
        counted = torch.where(similarities < self._weighting.threshold, 0.0, similarities)
        return counted.double() ** self._weighting.alpha

    def _sent(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _signed(codes: Codes) -> NDArray[np.generic]:
    return codes.view(np.int64) if codes.dtype == np.uint64 else codes


def _bit_counts(bits: Tensor) -> Tensor:
    """Number of bits set in each int64, by adding neighbours up in place (Warren, Hacker's Delight, §5-1)."""
    pairs = bits - (bits >> 1 & 0x5555555555555555)
    fours = (pairs & 0x3333333333333333) + (pairs >> 2 & 0x3333333333333333)
    bytes_ = fours + (fours >> 4) & 0x0F0F0F0F0F0F0F0F
    return (bytes_ * 0x0101010101010101) >> 56
