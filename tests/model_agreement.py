"""How far two models of the same images agree, as after a crash and a second run."""

from dataclasses import dataclass

import numpy as np
import pycolmap

from sfm.colmap.model_poses import Poses
from sfm.errors import InputError
from sfm.evaluation.metrics import centres
from sfm.geometry.similarity import extent, fit_similarity_robustly


@dataclass(frozen=True, slots=True)
class Agreement:
    """Differences of two models over their common images, after a robust similarity fit of b to a."""

    common: tuple[str, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    max_centre_difference: float
    """Largest distance of the two centres of an image, in units of the extent of a (rms from the mean)."""
    median_centre_difference: float
    max_rotation_difference_deg: float
    median_rotation_difference_deg: float


def compare_models(a: pycolmap.Reconstruction, b: pycolmap.Reconstruction) -> Agreement:
    """Compare the poses of two models by image name; the order of arguments only sets the unit.

    Images whose centres all lie on one line leave the rotation about it open; the rotation differences then
    mean nothing.

    Raises:
        InputError: fewer than three common images, or all in one place: nothing to align by.
    """
    poses_a, poses_b = registered_poses(a), registered_poses(b)
    common = sorted(poses_a.keys() & poses_b.keys())
    target, source = centres(poses_a, common), centres(poses_b, common)
    fit = fit_similarity_robustly(source, target)
    if fit is None:
        raise InputError(
            f"two models with {len(common)} common photos cannot be aligned; three places are needed"
        )
    distance = np.linalg.norm(fit * source - target, axis=1) / extent(target)
    turns = [poses_a[n].rotation * fit.rotation * poses_b[n].rotation.inverse() for n in common]
    angles = np.degrees([turn.angle() for turn in turns])
    return Agreement(
        common=tuple(common),
        only_in_a=tuple(sorted(poses_a.keys() - poses_b.keys())),
        only_in_b=tuple(sorted(poses_b.keys() - poses_a.keys())),
        max_centre_difference=float(distance.max()),
        median_centre_difference=float(np.median(distance)),
        max_rotation_difference_deg=float(angles.max()),
        median_rotation_difference_deg=float(np.median(angles)),
    )


def registered_poses(model: pycolmap.Reconstruction) -> Poses:
    """cam_from_world of the registered images of a model in memory, by name."""
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    return {image.name: image.cam_from_world() for image in images}
