"""Images that turned on one spot, and images that moved; the derivatives by which rotations are fitted."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from retrieval import Pair
from sfm.mapping.measures.pure_rotation import _Matches, why_pure_rotation

NUM_IMAGES = 4
NOISE_PX = 0.5
FOCAL_PX = 500.0


def sweep(
    step: float, *, config: str = "planar", taken: int = 8
) -> tuple[SimpleNamespace, pycolmap.Reconstruction]:
    """Images turned by 8 degrees each, all but the first four at one spot and those a `step` from each other.

    Points are 4 to 12 away, so that a step of 0.02 displaces them by about the noise.
    """
    rng = np.random.default_rng(0)
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=640, height=480)
    camera.params = [FOCAL_PX, 320.0, 240.0, -0.02]
    model.add_camera_with_trivial_rig(camera)
    ray = np.column_stack((rng.uniform(-1.6, 1.6, 3000), rng.uniform(-0.4, 0.4, 3000), np.ones(3000)))
    xyz = ray * rng.uniform(4, 12, (3000, 1))
    tracks: dict[int, list[pycolmap.TrackElement]] = {}
    for number in range(taken):
        turn = Rotation.from_euler("y", 8.0 * number - 28, degrees=True).as_matrix()
        centre = np.array([step * min(number, 4), 0.0, 0.0])
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(turn), -turn @ centre)
        in_cam = pose * xyz
        xy = np.asarray(camera.img_from_cam(in_cam)) + rng.normal(0, NOISE_PX, (len(xyz), 2))
        is_seen = (in_cam[:, 2] > 0) & (xy > 0).all(axis=1) & (xy < (640, 480)).all(axis=1)
        image = pycolmap.Image(name=f"{number}.jpg", camera_id=1, image_id=number + 1)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(one) for one in xy[is_seen]])
        model.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(np.flatnonzero(is_seen).tolist()):
            tracks.setdefault(point, []).append(pycolmap.TrackElement(number + 1, index))
    for point, elements in tracks.items():
        if len(elements) > 1:
            model.add_point3D(xyz[point], pycolmap.Track(elements), np.zeros(3, np.uint8))
    names = sorted(image.name for image in model.images.values())
    edges = {Pair(*pair): SimpleNamespace(config=config) for pair in combinations(names, 2)}
    return SimpleNamespace(view_graph=SimpleNamespace(edges=edges)), model


@pytest.mark.parametrize("step", [0.0, 0.002])
def test_rotations_explain_images_from_one_spot(step: float) -> None:
    assert "only turned on one spot" in why_pure_rotation(*sweep(step))


@pytest.mark.parametrize("step", [0.2, 0.5])
def test_rotations_do_not_explain_images_of_which_some_moved(step: float) -> None:
    assert not why_pure_rotation(*sweep(step))


def test_images_of_which_most_pairs_fit_no_homography_have_moved() -> None:
    assert not why_pure_rotation(*sweep(0.0, config="calibrated"))


def test_images_without_points_in_common_say_nothing() -> None:
    assert not why_pure_rotation(*sweep(0.0, taken=1))


@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
def test_derivatives_are_those_of_the_residuals(seed: int, turned: float) -> None:
    """With images of two lenses, so that both ends of a match may share one."""
    rng = np.random.default_rng(seed)
    ends = np.array([(a, b) for b in range(NUM_IMAGES) for a in range(b) for _ in range(3)])
    first, second = rng.normal(0, 300, (2, len(ends), 2))
    lens = np.arange(NUM_IMAGES) % 2
    matches = _Matches(range(NUM_IMAGES), (1, 2), lens, ends, first, second, np.zeros(len(ends)))
    lenses = np.log(800), -0.1, np.log(900), 0.1
    directions = rng.normal(size=(NUM_IMAGES, 3))
    turns = turned * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    at = np.concatenate((lenses, turns.ravel()))
    steps = 1e-6 * np.eye(len(at))
    numeric = [(matches.residuals(at + step) - matches.residuals(at - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(matches.jacobian(at), np.stack(numeric, axis=2), rtol=1e-4, atol=1e-3)
