"""Which loss suits the residuals of a finished model: squares where they are Gaussian, Cauchy's where not.

Least squares are best for Gaussian residuals alone. Those of photos, filtered by a threshold that is many
standard deviations wide, have heavy tails; a few bad observations then weigh as much as all good ones.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pycolmap

from sfm.config.schema import LossFunction

_MAX_IMAGES = 60
_MAX_PER_IMAGE = 500
_HEAVY = 1.15  # ratio of two estimates of sigma; Gaussian residuals cut at 4 px come to 1.03
_SCALE = 2.0  # sigmas
_RAYLEIGH_MEDIAN = 1.1774  # length of a residual whose coordinates have sigma 1


def with_fitting_loss(
    options: pycolmap.BundleAdjustmentOptions, model: pycolmap.Reconstruction, loss_function: LossFunction
) -> pycolmap.BundleAdjustmentOptions:
    """A copy of the options of an adjustment with the loss that suits the model's residuals, or the user."""
    chosen = copy.deepcopy(options)
    sigma, tail = _spread(_residual_lengths(model))
    if loss_function == "CAUCHY" or (loss_function == "evidence" and tail > _HEAVY):
        chosen.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        chosen.ceres.loss_function_scale = max(_SCALE * sigma, 1e-3)
    return chosen


def is_robust(options: pycolmap.BundleAdjustmentOptions) -> bool:
    """Whether an adjustment minimises something else than squares."""
    return bool(options.ceres.loss_function_type != pycolmap.LossFunctionType.TRIVIAL)


def _spread(lengths: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Sigma of a coordinate by the median, px, and the root mean square's ratio to it: 1 for a Gaussian."""
    if not len(lengths) or not (sigma := float(np.median(lengths)) / _RAYLEIGH_MEDIAN) > 0:
        return 0.0, 1.0
    return sigma, float(np.sqrt(np.mean(lengths**2) / 2)) / sigma


def _residual_lengths(model: pycolmap.Reconstruction) -> npt.NDArray[np.float64]:
    """(M,) px, of photos spread over the model."""
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
