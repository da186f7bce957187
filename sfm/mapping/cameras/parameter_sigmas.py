"""How surely the observations of a finished model determine the intrinsics of a camera."""

from __future__ import annotations

import numpy as np
import pycolmap

from ..scene.camera_models import own_parameters
from .evidence import MIN_IMAGES, Folds
from .linearized_observations import gather
from .reduced_system import ReducedSystem


@np.errstate(all="ignore")  # damaged models have observations that are no numbers; those are left out
def parameter_sigmas(model: pycolmap.Reconstruction, camera_id: int) -> dict[str, float]:
    """Standard deviations of a camera's parameters, by COLMAP's name, in their units.

    They are those of `Folds.estimate`, all poses and points being free: of independent observations together
    with the scatter between images, without the priors of lenses. A principal point at the centre of the
    image has none, since nobody asked the observations for it.

    Returns:
        Empty where the camera has fewer than three images, or its poses are not determined.
    """
    camera = model.camera(camera_id)
    if not camera.focal_length_idxs():
        return {}
    centre = list(camera.principal_point_idxs())
    is_held = np.allclose(camera.params[centre], [camera.width / 2, camera.height / 2], atol=1e-6)
    could = own_parameters(camera)
    free = [i for i in could.base if not (is_held and i in centre)]
    seen = gather(model, camera_id, could)
    if len(seen.own) < MIN_IMAGES or not seen.variance > 0:
        return {}
    try:
        estimate = Folds.of(seen, ReducedSystem.of(seen)).estimate(free, free, seen.variance / could.prior**2)
    except np.linalg.LinAlgError:
        return {}
    variances = np.diagonal(estimate.covariance)
    return {could.names[i]: float(np.sqrt(v)) for i, v in zip(free, variances, strict=True) if v > 0}
