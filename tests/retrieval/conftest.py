"""Made-up collections: photos that look at overlapping stretches of one row of landmarks."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Collection = dict[str, NDArray[np.float32]]
MakeCollection = Callable[..., Collection]


def _walk(
    count: int, *, step: int = 10, view: int = 40, dim: int = 40, seed: int = 0, prefix: str = ""
) -> Collection:
    """Photo i sees landmarks [i * step, i * step + view), each with a little noise."""
    rng = np.random.default_rng(seed)
    landmarks = rng.standard_normal((count * step + view, dim))
    photos = {}
    for i in range(count):
        seen = landmarks[i * step : i * step + view]
        photos[f"{prefix}{i:03d}.jpg"] = (seen + 0.1 * rng.standard_normal(seen.shape)).astype(np.float32)
    return photos


@pytest.fixture
def walk() -> MakeCollection:
    """`walk(count, step=, view=, dim=, seed=, prefix=)`: names to descriptors."""
    return _walk
