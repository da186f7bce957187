"""Keypoints of two matchers count by the noise of each where intrinsics are judged."""

import numpy as np
import pycolmap
import pytest

from sfm.mapping.cameras.linearized_observations import gather_of_cameras
from sfm.mapping.cameras.model_selection import TriedBlock, select_model
from sfm.mapping.scene.camera_models import freedom

from .lenses import adjusted, adjustment, cloud, opencv, photographed, ring
from .running import seeds

EXACT_PX, NOISY_PX = 0.2, 1.0
NUM = 150
"""Points of each matcher."""


def seen_by_two_matchers(
    seed: int, noisy_px: float = NOISY_PX
) -> tuple[pycolmap.Reconstruction, dict[int, int]]:
    """A camera a little off its centre, and where the keypoints of the second matcher begin in each image."""
    rng = np.random.default_rng(seed)
    poses, points = ring(8, rng), cloud(2 * NUM, rng)
    scale = np.repeat((EXACT_PX, noisy_px), NUM)[:, None]
    noise = rng.normal(scale=scale, size=(len(poses), len(points), 2))
    model = photographed([opencv(shift=(3.0, -2.0))] * len(poses), poses, points, noise)
    noisy = {tuple(xyz) for xyz in points[NUM:]}
    second = {point_id for point_id, point in model.points3D.items() if tuple(point.xyz) in noisy}
    first = {}
    for image_id, image in model.images.items():
        of = [index for index, p in enumerate(image.points2D) if p.has_point3D() and p.point3D_id in second]
        first[image_id] = min(of)
    return adjusted(model), first


def of_principal_point(model: pycolmap.Reconstruction, first: dict[int, int]) -> TriedBlock:
    own = freedom(model.camera(1), adjustment(), richest="SIMPLE_RADIAL", principal_point=True)
    return next(one for one in select_model(model, {1: own}, first).tried if one.block == "principal_point")


@seeds(0, 1, 2)
def test_noisy_keypoints_of_a_second_matcher_hide_no_evidence(seed: int) -> None:
    model, first = seen_by_two_matchers(seed)

    alike, apart = of_principal_point(model, {}), of_principal_point(model, first)

    assert apart.log_evidence is not None
    assert apart.log_evidence > (alike.log_evidence or 0.0) + 1
    assert apart.sigma["cx"] < alike.sigma["cx"]


def test_residuals_are_in_units_of_the_more_exact_matcher() -> None:
    model, first = seen_by_two_matchers(0)
    own = {1: freedom(model.camera(1), adjustment(), richest="SIMPLE_RADIAL", principal_point=True)}

    alike = gather_of_cameras(model, own)
    apart = gather_of_cameras(model, own, first_of_second=first)

    ratio = np.linalg.norm(apart.residual, axis=1) / np.linalg.norm(alike.residual, axis=1)
    assert set(np.round(np.unique(ratio), 6)) == {1.0, round(float(ratio.min()), 6)}
    assert ratio.min() == pytest.approx(EXACT_PX / NOISY_PX, rel=0.25)
    assert apart.variance < 0.5 * alike.variance


def test_a_second_matcher_may_be_the_more_exact_one() -> None:
    model, first = seen_by_two_matchers(0, noisy_px=EXACT_PX**2)
    own = {1: freedom(model.camera(1), adjustment(), richest="SIMPLE_RADIAL", principal_point=True)}

    alike = gather_of_cameras(model, own)
    apart = gather_of_cameras(model, own, first_of_second=first)

    ratio = np.linalg.norm(apart.residual, axis=1) / np.linalg.norm(alike.residual, axis=1)
    assert 0.1 < ratio.min() < 0.5
    assert ratio.max() == pytest.approx(1)
