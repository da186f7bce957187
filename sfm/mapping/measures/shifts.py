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


def moved(before: Centres, after: Centres) -> pycolmap.Sim3d | None:
    """The similarity that takes the images of both from where they were; None for fewer than three."""
    common = before.keys() & after.keys()
    return pycolmap.estimate_sim3d(*_side_by_side(before, after)) if len(common) >= 3 else None


def median_shift(before: Centres, after: Centres) -> float:
    """Median distance between camera centres after a similarity fit, relative to the extent of those after.

    Of images that both have; 0 for fewer than four of them.
    """
    source, target = _side_by_side(before, after)
    after_from_before = moved(before, after) if len(source) >= 4 else None
    if after_from_before is None:
        return 0.0
    extent = float(np.linalg.norm(np.ptp(target, axis=0)))
    if not extent > 0:
        return 0.0
    return float(np.median(np.linalg.norm(after_from_before * source - target, axis=1))) / extent


def _side_by_side(before: Centres, after: Centres) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres (N, 3) of the images of both, in the same order."""
    common = sorted(before.keys() & after.keys())
    source, target = (np.array([side[i] for i in common]).reshape(-1, 3) for side in (before, after))
    return source, target
