"""The focal length that best explains a pointmap, found as in DUSt3R (Wang et al., CVPR 2024) §3.3."""

import numpy as np
from numpy.typing import NDArray

_ITERATIONS = 10
_WIDEST_RAY = 10.0
"""Points farther off the axis than this many times their depth come from no lens; one of them near the image
plane would outweigh all others in the first estimate."""


def estimate_focal(points: NDArray[np.floating], *, robust: bool = True) -> float:
    """The focal length that minimises the mean distance in the image, by Weiszfeld's algorithm.

    Args:
        points: (H, W, 3) in its own camera frame; the principal point is taken to be the middle.
        robust: whether points too far off the axis for any lens are left out; False is the published way.

    Returns:
        Focal length, px; NaN where the points say nothing about it.

    Raises:
        ValueError: not (H, W, 3).
    """
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"points (H, W, 3) wanted, not {points.shape}")
    height, width = points.shape[:2]
    u, v = (np.arange(width) - width / 2)[None], (np.arange(height) - height / 2)[:, None]
    # Columns of their own: sums over a last axis of two take five times as long.
    x, y, z = (np.asarray(points[..., axis], np.float64) for axis in range(3))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        right, down = x / z, y / z
        widest = _WIDEST_RAY if robust else np.inf
        kept = np.isfinite(z) & (np.abs(right) < widest) & (np.abs(down) < widest)
        right, down = np.where(kept, right, 0.0), np.where(kept, down, 0.0)
        along, squared = right * u + down * v, right * right + down * down
        focal = along.mean() / squared.mean()
        for _ in range(_ITERATIONS):
            off_x, off_y = u - focal * right, v - focal * down
            weights = 1 / np.sqrt(off_x * off_x + off_y * off_y).clip(min=1e-8)
            focal = (weights * along).mean() / (weights * squared).mean()
    return float(np.maximum(focal, 0.0))
