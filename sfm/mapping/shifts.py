"""How far the photos of a model moved, whatever frame it is in."""

from __future__ import annotations

import numpy as np
import pycolmap


def median_shift(before: pycolmap.Reconstruction, after: pycolmap.Reconstruction) -> float:
    """Median distance between camera centres after a similarity fit, relative to the extent of those after.

    Of photos that both models have; 0 for fewer than four of them.
    """
    common = sorted(set(before.reg_image_ids()) & set(after.reg_image_ids()))
    if len(common) < 4:
        return 0.0
    source, target = (
        np.array([model.image(i).projection_center() for i in common]) for model in (before, after)
    )
    target_from_source = pycolmap.estimate_sim3d(source, target)
    extent = float(np.linalg.norm(np.ptp(target, axis=0)))
    if target_from_source is None or not extent > 0:
        return 0.0
    return float(np.median(np.linalg.norm(target_from_source * source - target, axis=1))) / extent
