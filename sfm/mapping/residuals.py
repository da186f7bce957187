"""Residuals of a model's observations, and the noise of keypoints that speaks from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap

_MAX_IMAGES = 60
_MAX_PER_IMAGE = 500
_RAYLEIGH_MEDIAN = 1.1774  # length of a residual whose coordinates have sigma 1


def residual_lengths(model: pycolmap.Reconstruction) -> npt.NDArray[np.float64]:
    """Distances of keypoints from where their points project: (M,) px, of photos spread over the model.

    Single observations, not the means that points keep: these hide a bad one among the good ones of a track.
    """
    ids = sorted(model.reg_image_ids())
    lengths = [np.zeros(0)]
    for image_id in ids[:: -(-len(ids) // _MAX_IMAGES) or 1]:
        image = model.image(image_id)
        points2D = image.get_observation_points2D()
        if points2D := points2D[:: -(-len(points2D) // _MAX_PER_IMAGE) or 1]:
            xy = np.array([point.xy for point in points2D])
            xyz = np.array([model.point3D(point.point3D_id).xyz for point in points2D])
            found = np.asarray(model.camera(image.camera_id).img_from_cam(image.cam_from_world() * xyz))
            lengths.append(np.linalg.norm(found - xy, axis=1))
    every = np.concatenate(lengths)
    return np.asarray(every[np.isfinite(every)])


def noise_px(lengths: npt.NDArray[np.float64]) -> float:
    """Standard deviation of keypoints in x and in y, by the median residual: outliers have no say in it.

    Args:
        lengths: (M,) px; of none the noise is 0.
    """
    return float(np.median(lengths)) / _RAYLEIGH_MEDIAN if len(lengths) else 0.0
