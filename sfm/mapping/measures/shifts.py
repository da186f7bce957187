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


def shifts(before: Centres, after: Centres) -> npt.NDArray[np.float64]:
    """Distances between camera centres after a similarity fit, relative to the extent of those after, (N,).

    Of images that both have; none for fewer than four of them.
    """
    common = sorted(before.keys() & after.keys())
    source, target = (np.array([side[i] for i in common]).reshape(-1, 3) for side in (before, after))
    after_from_before = pycolmap.estimate_sim3d(source, target) if len(common) >= 4 else None
    extent = float(np.linalg.norm(np.ptp(target, axis=0))) if len(common) else 0.0
    if after_from_before is None or not extent > 0:
        return np.zeros(0)
    return np.asarray(np.linalg.norm(after_from_before * source - target, axis=1)) / extent


def median_shift(before: Centres, after: Centres) -> float:
    """Median of `shifts`, 0 where there is none."""
    found = shifts(before, after)
    return float(np.median(found)) if len(found) else 0.0
