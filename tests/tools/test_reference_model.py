"""The reference of agreement: typical, not the first, and the same whatever its frame."""

import numpy as np
import pycolmap
import pytest
from metrics.mapper_scores import agreement
from metrics.reference_model import medoid

from sfm.colmap.model_poses import Poses

COUNT = 20


def ring(*, turned: dict[int, float] | None = None, moved: dict[int, float] | None = None) -> Poses:
    """Cameras round a circle of radius 1 that look to its middle; some turned (degrees) or moved out."""
    poses = {}
    for i in range(COUNT):
        angle = 2 * np.pi * i / COUNT
        centre = (1 + (moved or {}).get(i, 0.0)) * np.array([np.cos(angle), np.sin(angle), 0.2 * (i % 3)])
        about = np.array([0.0, 0.0, angle + np.radians((turned or {}).get(i, 0.0))])
        rotation = pycolmap.Rotation3d(about)
        poses[f"{i:02d}.jpg"] = pycolmap.Rigid3d(rotation, -(rotation * centre))
    return poses


def in_another_frame(poses: Poses) -> Poses:
    sim = pycolmap.Sim3d(2.5, pycolmap.Rotation3d(np.array([0.3, -1.0, 0.4])), np.array([4.0, 5.0, -6.0]))
    return {name: sim.transform_camera_world(pose) for name, pose in poses.items()}


def test_agreement_does_not_hang_on_the_frame() -> None:
    assert agreement(ring(), in_another_frame(ring())) == 100.0


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (ring(turned={0: 0.5, 1: 2.0, 7: -3.0}), 90.0),
        (ring(moved={3: 0.005, 4: 0.1}), 95.0),
        ({name: pose for name, pose in ring().items() if name != "05.jpg"}, 95.0),
        ({}, 0.0),
    ],
)
def test_photos_that_are_off_or_missing_do_not_agree(other: Poses, expected: float) -> None:
    assert agreement(ring(), other) == expected


def test_the_medoid_is_not_the_odd_one_out_though_it_comes_first() -> None:
    bent = ring(moved={i: 0.05 * i for i in range(10)})
    models = [bent, ring(), in_another_frame(ring(turned={3: 5.0})), in_another_frame(ring())]

    found = medoid(models)

    assert found.seed in (1, 3)
    assert found.between_seeds[1] == found.between_seeds[3] == 100.0
    assert found.between_seeds[0] < 90.0
    assert found.between_seeds[2] == 95.0
