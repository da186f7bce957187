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
    u, v = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    pixels = np.stack([u, v], axis=-1).reshape(-1, 2)
    flat = np.asarray(points, np.float64).reshape(-1, 3)
    flat = np.where(np.isfinite(flat).all(axis=1, keepdims=True), flat, np.nan)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rays = flat[:, :2] / flat[:, 2:]
        widest = _WIDEST_RAY if robust else np.inf
        rays = np.where(np.abs(rays).max(axis=1, keepdims=True) < widest, rays, 0.0)
        along, squared = (rays * pixels).sum(axis=1), (rays * rays).sum(axis=1)
        focal = along.mean() / squared.mean()
        for _ in range(_ITERATIONS):
            weights = 1 / np.linalg.norm(pixels - focal * rays, axis=1).clip(min=1e-8)
            focal = (weights * along).mean() / (weights * squared).mean()
    return float(np.maximum(focal, 0.0))
