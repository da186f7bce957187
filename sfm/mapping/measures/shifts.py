"""Where the images of a model are and how far they moved, whatever frame it is in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pycolmap

Centres = Mapping[int, npt.NDArray[np.float64]]
"""Camera centres (3,) in the frame of a model, by image id."""


def camera_centres(model: pycolmap.Reconstruction) -> Centres:
    """Of all registered images."""
    return {i: model.image(i).projection_center() for i in sorted(model.reg_image_ids())}


def median_shift(before: Centres, after: Centres) -> float:
    """Median distance between camera centres after a similarity fit, relative to the extent of those after.

    Of images that both have; 0 for fewer than four of them.
    """
    common = sorted(before.keys() & after.keys())
    source, target = (np.array([side[i] for i in common]).reshape(-1, 3) for side in (before, after))
    after_from_before = pycolmap.estimate_sim3d(source, target) if len(common) >= 4 else None
    if after_from_before is None:
        return 0.0
    extent = float(np.linalg.norm(np.ptp(target, axis=0)))
    if not extent > 0:
        return 0.0
    return float(np.median(np.linalg.norm(after_from_before * source - target, axis=1))) / extent
