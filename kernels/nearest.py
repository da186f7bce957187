"""For each descriptor of one set, the most similar one of another, without a matrix of all similarities.

The matrix product runs tile by tile. Of each tile only the row maxima are kept, while it is in cache.
Positions are looked up at the end, inside the one tile that won. Little is left but the product: bounds over
blocks of smooth maps cost more than they save. Every thread has a share of the base to itself, because
threads that met after each tile would mostly wait on a busy machine.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from kernels.dispatch import backend_for

if TYPE_CHECKING:  # imported only where it runs
    from kernels.nearest_triton import NearestTriton

T = TypeVar("T")

_TILE = 1 << 20
"""Similarities in a tile on the CPU, 4 MB: in cache, and large enough for products at full speed."""
_TILE_ROWS = 1024
_SHARE = 1 << 22
"""Similarities that are worth a thread, about 2 ms."""
_DEVICE_TILE = 1 << 26
"""Similarities in a tile elsewhere, 256 MB."""
_LEAST = 64
"""Rows and columns below which products may take another path, and round otherwise than the large ones."""


class NearestRows:
    """A set of descriptors, to be searched many times."""

    def __init__(self, b: Tensor) -> None:
        """Take the base (M, d) floating, M >= 0.

        Raises:
            ValueError: it is no such set.
        """
        if b.dim() != 2 or not b.is_floating_point():
            raise ValueError(f"nearest: (M, d) of floats wanted, not {tuple(b.shape)} {b.dtype}")
        self._whole = b
        self._kept = finite_rows(b)
        self._finite = b if self._kept is None else b[self._kept]
        self._on_gpu: NearestTriton | None = None

    def nearest(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """The row of the base with the largest dot product with each row of `a`: exact, the first on ties.

        Products are float32 sums of float32 products; similarities that differ by less than their rounding
        may be ordered either way. On CUDA the torch version obeys torch's setting of TF32, the Triton one has
        none.

        Args:
            a: (N, d) floating, N >= 0, on the device of the base.

        Returns:
            indices: (N,) int64 in [0, M). A row with a NaN or infinity, of `a` or of the base, matches
                nothing: -1 for rows of `a` without a match.
            similarity: (N,) float32, the dot products; -inf where the index is -1.

        Raises:
            ValueError: the shape, type or device doesn't fit the base.
        """
        _check(a, self._whole)
        kept = finite_rows(a)
        queries = a if kept is None else a[kept]
        indices = torch.full((len(a),), -1, dtype=torch.int64, device=a.device)
        similarity = torch.full((len(a),), -torch.inf, device=a.device)
        if len(queries) and len(self._finite):
            found, values = self._of_finite(queries)
            rows = slice(None) if kept is None else kept
            indices[rows] = found if self._kept is None else self._kept[found]
            similarity[rows] = values
        return indices, similarity

    def _of_finite(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        if backend_for(queries) != "triton":
            return nearest_torch(queries, self._finite)
        if self._on_gpu is None:
            from kernels.nearest_triton import NearestTriton

            self._on_gpu = NearestTriton(self._finite)
        return self._on_gpu(queries)


def nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`NearestRows(b).nearest(a)`, for a base (M, d) that is searched once."""
    return NearestRows(b).nearest(a)


def finite_rows(x: Tensor) -> Tensor | None:
    """Positions (K,) int64 of the rows of (N, d) without NaN or infinity; None where that is all of them."""
    # One pass over everything, in the usual case.
    if bool(torch.isfinite(x.sum(dtype=torch.float32))):
        return None
    finite = torch.isfinite(x).all(dim=1)
    return None if bool(finite.all()) else finite.nonzero().squeeze(1)


def nearest_torch(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The definition, for N, M >= 1 and finite rows; every other version is tested against this one."""
    a, b = a.detach().float(), b.detach().float()
    if a.device.type != "cpu":
        return _nearest_on_device(a, b)
    indices, similarity = _nearest_on_host(_padded(a), _padded(b))
    return indices[: len(a)], similarity[: len(a)]


def _check(a: Tensor, b: Tensor) -> None:
    fits = a.dim() == b.dim() == 2 and a.shape[1] == b.shape[1] and a.device == b.device
    if not fits or not a.is_floating_point() or not b.is_floating_point():
        raise ValueError(
            f"nearest: (N, d) and (M, d) of floats on one device wanted, not {tuple(a.shape)} {a.dtype} "
            f"on {a.device} and {tuple(b.shape)} {b.dtype} on {b.device}"
        )


def _padded(rows: Tensor) -> Tensor:
    """At least `_LEAST` rows: the last one is repeated, which never comes first among equals."""
    missing = _LEAST - len(rows)
    return rows if missing <= 0 else torch.cat((rows, rows[-1:].expand(missing, -1)))


def _nearest_on_host(queries: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    most = min(len(queries) * len(base) // _SHARE, len(base) // _LEAST)
    threads = max(1, min(torch.get_num_threads(), most))
    bounds = [len(base) * share // threads for share in range(threads + 1)]
    shares = [base[start:end] for start, end in pairwise(bounds)]
    parts = _in_single_threads(lambda share: _nearest_of_share(queries, share), shares)
    indices, best = parts[0]
    for start, (found, largest) in zip(bounds[1:], parts[1:], strict=False):
        better = largest > best
        indices, best = torch.where(better, found + start, indices), torch.where(better, largest, best)
    return indices, best


def _in_single_threads(function: Callable[[Tensor], T], shares: list[Tensor]) -> list[T]:
    """Results for all shares, several each in a thread of its own, in which torch starts no others."""
    before = torch.get_num_threads()
    try:
        if len(shares) == 1:  # a thread of its own would cost more than a small product
            torch.set_num_threads(1)
            return [function(shares[0])]
        # Holds for the calling thread, and for threads that start later; hence the second call.
        with ThreadPoolExecutor(len(shares), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, shares))
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _nearest_of_share(queries: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    # One for all rows: allocated for each, it would leave holes in the heap.
    tile = torch.empty(min(_TILE, len(queries) * len(base)))
    parts = [_nearest_of_rows(rows, base, tile) for rows in torch.split(queries, _TILE_ROWS)]
    indices, similarity = (torch.cat(column) for column in zip(*parts, strict=True))
    return indices, similarity


def _nearest_of_rows(queries: Tensor, base: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and similarities (R,), R <= `_TILE_ROWS`: maxima of each tile first, positions at the end."""
    queries, num = _padded(queries), len(queries)
    width = min(len(memory) // len(queries), len(base))
    tile = memory[: len(queries) * width].view(len(queries), width)
    # The last tile overlaps the one before instead of being narrow.
    starts = [min(start, len(base) - width) for start in range(0, len(base), width)]
    best = torch.full((len(queries),), -torch.inf)
    winner = torch.zeros(len(queries), dtype=torch.int64)
    for number, start in enumerate(starts):
        largest = torch.mm(queries, base[start : start + width].T, out=tile).amax(dim=1)
        winner[largest > best] = number
        torch.maximum(best, largest, out=best)
    indices = torch.empty_like(winner)
    for number in torch.unique(winner).tolist():
        rows = (winner == number).nonzero().squeeze(1)
        here = base[starts[number] : starts[number] + width]
        found = torch.mm(_padded(queries[rows]), here.T).argmax(dim=1)[: len(rows)]
        indices[rows] = found + starts[number]
    return indices[:num], best[:num]


def _nearest_on_device(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and similarities (N,) without waiting for the device between tiles."""
    best = torch.full((len(a),), -torch.inf, device=a.device)
    indices = torch.zeros(len(a), dtype=torch.int64, device=a.device)
    width = max(_DEVICE_TILE // len(a), 1)
    for start in range(0, len(b), width):
        largest, found = (a @ b[start : start + width].T).max(dim=1)
        better = largest > best
        best = torch.where(better, largest, best)
        indices = torch.where(better, found + start, indices)
    return indices, best
