"""Surfaces of photos: which pixels become triangles, where they lie, and which way they face."""

import numpy as np
import pycolmap
import pytest

from sfm.errors import ConfigError
from sfm.exports.mesh import Surface, Surfaces
from sfm.exports.source import DepthOptions, SceneOptions
from sfm.exports.view_maps import Grid, ViewMap

SIZE = (12, 9)
CAMERA = pycolmap.Camera(model="PINHOLE", width=120, height=90, params=[100.0, 100.0, 60.0, 45.0])
TURN = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.3, -0.5, 0.2])), np.array([1.0, 2.0, 3.0]))


def a_view(depth: np.ndarray) -> ViewMap:
    image = pycolmap.Image(name="a.jpg", camera_id=1, image_id=1)
    model = pycolmap.Reconstruction()
    CAMERA.camera_id = 1
    model.add_camera_with_trivial_rig(CAMERA)
    model.add_image_with_trivial_frame(image, TURN)
    scale = 120 / depth.shape[1]
    grid = Grid((scale, scale), (0.0, 0.0), depth.shape[::-1])
    return ViewMap(
        model.image(1), CAMERA, grid, depth.astype(np.float32), np.full(depth.shape, 5, np.float32)
    )


def surface_of(
    view: ViewMap, smooth: np.ndarray, step: int = 1, kept: np.ndarray | None = None
) -> list[Surface]:
    surfaces = Surfaces(lambda name: np.zeros((*view.depth.shape, 3), np.uint8), step)
    surfaces.add("a.jpg", view, smooth, smooth if kept is None else kept)
    return surfaces.found


def test_four_usable_neighbours_make_two_triangles_that_face_the_camera() -> None:
    view = a_view(np.full(SIZE[::-1], 4.0))
    kept = np.ones(SIZE[::-1], bool)
    kept[4, 5] = False  # in four squares

    (surface,) = surface_of(view, kept)

    assert len(surface.triangles) == 2 * (11 * 8 - 4)
    local = np.array([TURN * point for point in surface.corners.astype(float)])
    a, b, c = (local[surface.triangles[:, i]] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).all()  # towards the camera, which looks along +z
    # a pixel of the photo lies at the same place in its texture
    pixels = (local[:, :2] / local[:, 2:] * 100 + [60, 45]) / [120, 90]
    np.testing.assert_allclose(surface.where, pixels, atol=1e-5)


def test_single_pixels_and_lines_make_nothing() -> None:
    kept = np.zeros(SIZE[::-1], bool)
    kept[2], kept[5, 5] = True, True

    assert surface_of(a_view(np.full(SIZE[::-1], 4.0)), kept) == []


def squares_of(surface: Surface, shape: tuple[int, int]) -> set[tuple[int, int]]:
    """Row and column of the upper left pixel of each square that two triangles make."""
    pixels = np.floor(surface.where * shape[::-1]).astype(int)[surface.triangles]
    found = [tuple(map(int, corner[::-1])) for corner in pixels.min(axis=1)]
    assert all(found.count(one) == 2 for one in found)
    return set(found)


def test_what_photos_leave_to_each_other_of_a_slanted_plane_closes_up_to_edges_in_depth() -> None:
    """Two photos from one place, each of which keeps the pixels that the other leaves out, by chance."""
    depth = 1 / np.linspace(0.5, 0.125, 24)[None].repeat(18, axis=0)  # a plane, up to 1.15 times a pixel
    depth[:, 15:] *= 3.0
    view, rng = a_view(depth), np.random.default_rng(0)
    smooth, chosen = ~view.edges(), rng.random(depth.shape) < 0.5
    gone = np.zeros(depth.shape, bool)
    gone[4:8, 2:6] = True  # others see past it

    found = [surface_of(view, smooth, kept=kept & ~gone)[0] for kept in (chosen, ~chosen)]

    together = set.union(*(squares_of(surface, depth.shape) for surface in found))
    across, inside = {14, 13, 15}, {(row, column) for row in (4, 5, 6) for column in (2, 3, 4)}
    every = {(row, column) for row in range(17) for column in range(23) if column not in across}
    assert together == every - inside


@pytest.mark.parametrize(("gap", "joined"), [(1.02, True), (3.0, False)])
def test_no_triangle_crosses_an_edge_in_depth_where_pixels_are_left_out(gap: float, joined: bool) -> None:
    """With a step of 3, pixels 3 and 6 of a row become neighbours, with an edge between them."""
    depth = np.full((18, 24), 4.0)
    depth[:, 12:] *= gap
    view = a_view(depth)

    (surface,) = surface_of(view, ~view.edges(), step=3)

    z = np.array([TURN * point for point in surface.corners.astype(float)])[:, 2]
    across = np.ptp(z[surface.triangles], axis=1) > 0.01
    assert across.any() == joined
    assert set(np.round(z, 3)) == {4.0, round(4 * gap, 3)}


def test_corners_stay_below_their_bound() -> None:
    surfaces = Surfaces.limited(lambda name: np.zeros((0, 0, 3), np.uint8), 1000, 120)

    assert surfaces.step == 3
    assert Surfaces.limited(surfaces.colours, 1000, 1000).step == 1


@pytest.mark.parametrize("step", [9, 12, 40])
def test_corners_in_one_row_or_one_alone_make_nothing(step: int) -> None:
    view = a_view(np.full(SIZE[::-1], 4.0))

    assert surface_of(view, np.ones(SIZE[::-1], bool), step) == []


@pytest.mark.parametrize("size", [float("inf"), float("nan")])
def test_sizes_of_cameras_are_finite(size: float) -> None:
    with pytest.raises(ConfigError, match="camera_size must be finite and at least 0"):
        SceneOptions(camera_size=size)
    with pytest.raises(ConfigError, match="min_confidence must be finite and at least 0"):
        DepthOptions(min_confidence=size)
