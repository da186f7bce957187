"""The focal lengths of pointmaps. (The fixtures of what is averaged over pairs have no counterpart here.)"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sfm.mast3r.network.pointmap_focal import estimate_focal

from .case import Case, compare

_UNBOUNDED = "_weiszfeld_min0.0_maxinf"


def cases(folder: Path) -> Iterator[Case]:
    """What `geometry/canon_focal.npz` holds of them."""
    stored = folder / "geometry" / "canon_focal.npz"
    if not stored.is_file():
        return
    with np.load(stored, allow_pickle=False) as file:
        expected = dict(file)
    for key, value in expected.items():
        if key.endswith(_UNBOUNDED):
            focal = estimate_focal(expected[f"{key.removesuffix(_UNBOUNDED)}_pts"])
            yield compare(f"geometry {key}", [focal], value, atol=1e-3, rtol=1e-5)
