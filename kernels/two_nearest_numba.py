"""What compiled searches for the two nearest descriptors share; imported where one runs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

_BLOCK = 128
"""The length of SIFT's descriptors."""


def in_blocks(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Descriptors (n, d) as (n, blocks, 128), with zeros behind them, which change no distance."""
    missing = -rows.shape[1] % _BLOCK
    padded = np.pad(rows, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(rows)
    return padded.reshape(len(rows), -1, _BLOCK)


@compiled()
def product(one: Any, rows: Any, j: int) -> Any:
    """Dot product of one row of bytes and row j of others, both `in_blocks`, in 32 bits."""
    total = np.int32(0)
    for block in range(rows.shape[1]):
        for t in range(_BLOCK):  # a constant: the processor multiplies and adds without a loop
            total = np.int32(total + np.int32(np.int32(one[block, t]) * np.int32(rows[j, block, t])))
    return total


@compiled()
def squares(rows: Any) -> Any:
    """Of each row its product with itself."""
    found = np.empty(len(rows), np.int32)
    for i in range(len(rows)):
        found[i] = product(rows[i], rows, i)
    return found


@compiled()
def offer(index: Any, nearest: Any, second: Any, here: int, other: int, distance: Any) -> None:
    """Keep the nearest, the one of lower index where equally near, and the second nearest distance."""
    best = nearest[here]
    if distance < best or (distance == best and other < index[here]):
        index[here], nearest[here], second[here] = other, distance, best
    elif distance < second[here]:
        second[here] = distance
