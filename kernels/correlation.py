"""Normalized cross-correlation of patches of one image with another, each warped by an affine map.

The plain version takes all patches at once; compiled (`correlation_numba`), one after the other.
"""

from __future__ import annotations

import numpy as np

from .dispatch import compiles
from .values import MAX_SHIFT, MIN_DEVIATION, MIN_PRODUCT, PATCH_RADIUS, Grey, Reals


def best_correlations(first: Grey, second: Grey, at_first: Reals, at_second: Reals, maps: Reals) -> Reals:
    """The highest normalized cross-correlation of each patch with the second image, over all shifts; (N,).

    (Lewis 1995, "Fast Normalized Cross-Correlation".) NaN where a patch, or where it may be in the second
    image, is not within the images, and where a patch has no texture.

    Args:
        first: (H, W) grey values.
        second: (H', W') grey values.
        at_first: (N, 2) middles of the patches (x, y), px, pixel centres at 0.5.
        at_second: (N, 2) where they are predicted in the second image.
        maps: (N, 2, 2) offsets in the second image of offsets in the first, px.
    """
    if compiles(worth_it=True):  # one call is small, but there is one for each pair of images
        from . import correlation_numba

        return correlation_numba.best_correlations(first, second, at_first, at_second, maps)
    steps = np.arange(-PATCH_RADIUS - MAX_SHIFT, PATCH_RADIUS + MAX_SHIFT + 1, dtype=np.float64)
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1)
    inner = offsets[MAX_SHIFT:-MAX_SHIFT, MAX_SHIFT:-MAX_SHIFT]
    patches = _sampled(first, at_first[:, None, None] + inner)
    windows = _sampled(second, at_second[:, None, None] + np.einsum("nij,uvj->nuvi", maps, offsets))
    side = 2 * PATCH_RADIUS + 1
    moved = np.lib.stride_tricks.sliding_window_view(windows, (side, side), axis=(1, 2))
    centred = patches - patches.mean(axis=(1, 2), keepdims=True)
    others = moved - moved.mean(axis=(3, 4), keepdims=True)
    length, lengths = np.sqrt((centred**2).sum(axis=(1, 2))), np.sqrt((others**2).sum(axis=(3, 4)))
    products = np.einsum("nuvij,nij->nuv", others, centred)
    found = (products / np.maximum(lengths * length[:, None, None], MIN_PRODUCT)).max(axis=(1, 2))
    return np.asarray(np.where(length >= MIN_DEVIATION * side, found, np.nan))


def _sampled(image: Grey, at: Reals) -> Reals:
    """Grey values by bilinear interpolation at (..., 2) px; NaN outside of the pixels' centres."""
    height, width = image.shape
    x, y = at[..., 0] - 0.5, at[..., 1] - 0.5
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    left, top = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    dx, dy, grey = x - left, y - top, image.astype(np.float64)
    upper = (1 - dx) * grey[top, left] + dx * grey[top, left + 1]
    lower = (1 - dx) * grey[top + 1, left] + dx * grey[top + 1, left + 1]
    return np.asarray(np.where(inside, (1 - dy) * upper + dy * lower, np.nan))
