"""Residuals of a model's observations, and the noise of keypoints by them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap

from .observations import PointTable, some_seen_by

_MAX_IMAGES = 60
_MAX_PER_IMAGE = 500
_RAYLEIGH_MEDIAN = 1.1774  # length of a residual whose coordinates have sigma 1


def residual_lengths(model: pycolmap.Reconstruction) -> npt.NDArray[np.float64]:
    """Distances of keypoints from where their points project: (M,) px, of images spread over the model.

    Single observations, not the means that points keep: these hide a bad one among the good ones of a track.
    """
    image_ids = sorted(model.reg_image_ids())
    points = PointTable.of(model)
    lengths = [np.zeros(0)]
    for image_id in image_ids[:: -(-len(image_ids) // _MAX_IMAGES) or 1]:
        image = model.image(image_id)
        ids, xy = some_seen_by(image, _MAX_PER_IMAGE)
        if len(ids):
            in_cam = image.cam_from_world() * points.xyz_of(ids)
            found = np.asarray(model.camera(image.camera_id).img_from_cam(in_cam))
            lengths.append(np.linalg.norm(found - xy, axis=1))
    every = np.concatenate(lengths)
    return np.asarray(every[np.isfinite(every)])


def redundancy(length: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """What is left of each coordinate of an observation after the point was fitted, by track length (N,).

    Three coordinates a point are spent on it (Baarda 1968, "A testing procedure for use in geodetic
    networks"): residuals are smaller than the noise by the root of this.
    """
    return np.asarray(1 - 1.5 / length)


def noise_px(lengths: npt.NDArray[np.float64]) -> float:
    """Standard deviation of keypoints in x and in y by the median of residuals (M,), px; 0 for none."""
    return float(np.median(lengths)) / _RAYLEIGH_MEDIAN if len(lengths) else 0.0
