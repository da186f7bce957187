"""Epipolar geometry as angles: partners are where they are said to be, whatever way the camera moved."""

import numpy as np
import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kernels.banded_nearest import banded_nearest
from sfm.matching import Guide, GuideView
from sfm.matching.sift.half_planes import HalfPlanes, Rays

CAMERA = pycolmap.Camera(
    model="SIMPLE_RADIAL", width=640, height=480, params=[500.0, 320.0, 240.0, -0.05], camera_id=1
)
MOTIONS = {
    "sideways": (1.0, 0.0, 0.0),
    "upwards": (0.0, -1.0, 0.0),
    "forwards": (0.0, 0.0, -1.0),  # the epipole is in the middle of both images
    "backwards": (0.0, 0.0, 1.0),
    "towards a corner": (0.4, 0.3, -1.0),
    "aslant": (1.0, 0.2, 0.6),
}


class Scene:
    """Points seen by two cameras, with the guide that a perfect model gives."""

    def __init__(self, motion: tuple[float, float, float], seed: int, count: int = 60) -> None:
        rng = np.random.default_rng(seed)
        rotation = pycolmap.Rotation3d(rng.normal(scale=0.1, size=3))
        pose = pycolmap.Rigid3d(rotation, np.array(motion))
        in_a = np.column_stack((rng.uniform(-3, 3, (4 * count, 2)), rng.uniform(4, 12, 4 * count)))
        in_b = np.asarray(pose * in_a)
        a, b = (np.asarray(CAMERA.img_from_cam(points)) for points in (in_a, in_b))
        seen = (in_b[:, 2] > 1) & np.all([(xy > 0) & (xy < (640, 480)) for xy in (a, b)], axis=(0, 2))
        self.a, self.b = a[seen][:count], b[seen][:count]
        depths = in_a[seen][:count, 2], in_b[seen][:count, 2]
        views = [
            GuideView(CAMERA, np.column_stack((xy, depth)), 0.5)
            for xy, depth in zip((self.a, self.b), depths, strict=True)
        ]
        self.guide = Guide(pose, *views)
        self.rays = Rays.of(self.a, views[0]), Rays.of(self.b, views[1])

    @property
    def planes(self) -> HalfPlanes:
        found = HalfPlanes.of(*self.rays, self.guide)
        assert found is not None
        return found


def line_distances(scene: Scene) -> NDArray[np.float64]:
    """(n, n) distance at depth 1 of each keypoint of b from the epipolar line of each of a."""
    essential = pycolmap.essential_matrix_from_pose(scene.guide.b_from_a)
    lines = scene.rays[0].directions @ essential.T
    return np.abs(lines @ scene.rays[1].directions.T) / np.hypot(lines[:, 0], lines[:, 1])[:, None]


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS.keys())
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_partner_is_within_a_narrow_band(motion: tuple[float, float, float], seed: int) -> None:
    scene = Scene(motion, seed)
    own = np.arange(len(scene.a), dtype=np.uint8)[:, None]  # descriptors by which each knows its partner

    of_a, _ = banded_nearest(scene.planes.bands(1e-5, 1e-5), own, own)

    assert len(own) >= 5
    assert of_a.index.tolist() == own[:, 0].tolist()
    assert not of_a.distance.any()


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS.keys())
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_offsets_are_distances_from_epipolar_lines(motion: tuple[float, float, float], seed: int) -> None:
    scene = Scene(motion, seed)
    planes = scene.planes
    pairs = np.array([(i, j) for i in range(len(scene.a)) for j in range(len(scene.b))])
    turn = np.abs(planes.angle_a[pairs[:, 0]] - planes.angle_b[pairs[:, 1]])
    pairs = pairs[np.minimum(turn, 2 * np.pi - turn) < 0.05]

    offsets = planes.offsets(pairs)

    # to first order: the length of the normal's image part is that of the keypoint's own plane
    np.testing.assert_allclose(offsets, line_distances(scene)[tuple(pairs.T)], rtol=0.05, atol=1e-6)


def test_the_other_half_of_a_line_is_not_allowed() -> None:
    """A camera that moves forwards sees each point move away from the middle, never through it."""
    scene = Scene(MOTIONS["forwards"], 1)
    planes = scene.planes
    bands = planes.bands(0.002, 0.002)

    opposite = np.abs(np.abs(planes.angle_a[:, None] - planes.angle_b) - np.pi) < 0.1
    start, end, after, before = bands.intervals
    angle = planes.angle_a[:, None]
    allowed = ((angle >= start) & (angle <= end)) | (angle >= after) | (angle <= before)

    assert opposite.any()
    assert not (allowed & opposite & (planes.radius_b > 0.02)).any()


def test_without_a_baseline_there_are_no_lines() -> None:
    scene = Scene(MOTIONS["sideways"], 1)
    turned = Guide(pycolmap.Rigid3d(scene.guide.b_from_a.rotation, np.zeros(3)), scene.guide.a, scene.guide.b)

    assert HalfPlanes.of(*scene.rays, turned) is None


def test_keypoints_that_no_ray_leads_to_do_not_disturb() -> None:
    """Far outside of the image a strong distortion cannot be undone."""
    scene = Scene(MOTIONS["sideways"], 2)
    bent = pycolmap.Camera(
        model="SIMPLE_RADIAL", width=640, height=480, params=[500.0, 320.0, 240.0, -0.4], camera_id=1
    )

    rays = Rays.of(np.array([[1e5, 1e5], [320.0, 240.0]]), GuideView(bent, scene.guide.a.observed, 0.5))

    assert np.isfinite(rays.directions).all()
    assert len(Rays.of(np.empty((0, 2)), scene.guide.a).near) == 0
