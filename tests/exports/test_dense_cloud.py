"""The parts of the dense cloud and of the depth maps, each by itself."""

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfm.exports.partners import Covisibility
from sfm.exports.thinning import ThinnedCloud
from sfm.exports.view_maps import Grid, ViewMap, resampled_view, turned_to_stored
from sfm.ingest.decode import TRANSPOSE
from sfm.mast3r.network.image_input import pixel_map
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.inference.photo_map import PhotoMap

ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_undoes_what_turns_photos_upright(orientation: int) -> None:
    stored = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6)
    method = TRANSPOSE.get(orientation)
    image = Image.fromarray(stored)
    upright = np.asarray(image if method is None else image.transpose(method))

    np.testing.assert_array_equal(turned_to_stored(upright, orientation), stored)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_grid_says_where_turned_pixels_lie(orientation: int) -> None:
    """What the network's map holds at a pixel is found at the photo position that the grid gives it."""
    upright_size = (333, 250)
    stored_size = upright_size if orientation < 5 else upright_size[::-1]
    photo_map = PhotoMap(pixel_map(upright_size, "a", size=128), stored_size, orientation)
    height, width = photo_map.size
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    positions = photo_map.to_photo(np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(height, width, 2)

    grid = Grid.of_network(photo_map)

    turned = turned_to_stored(positions, orientation)
    assert turned.shape[:2] == grid.size[::-1]
    np.testing.assert_allclose(grid.centres().reshape(turned.shape), turned, atol=1e-3)
    pixel, inside = grid.pixels(turned.reshape(-1, 2).astype(np.float64))
    assert inside.all()
    np.testing.assert_array_equal(pixel, np.arange(width * height))
    assert not grid.pixels(np.array([[-5.0, 3.0], [np.nan, np.nan], [1e9, 3.0]]))[1].any()


@pytest.mark.parametrize(("focal", "edges"), [(400.0, [4, 5]), (4000.0, [4, 5]), (20.0, [])])
def test_edges_are_jumps_for_the_width_of_a_pixel(focal: float, edges: list[int]) -> None:
    """Depth rises by 2.5 % from column to column, and once by a half."""
    depth = np.full((6, 8), 2.0, np.float32) * 1.025 ** np.arange(8, dtype=np.float32)
    depth[:, 5:] *= 1.5
    depth[0, 0] = 0  # unknown: no surface, no edge
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=16, height=12, params=[2 * focal, 8, 6])
    grid = Grid((2.0, 2.0), (0.0, 0.0), (8, 6))

    for turned in (False, True):
        shown = np.ascontiguousarray(depth.T) if turned else depth
        found = ViewMap(pycolmap.Image(), camera, grid, shown, np.ones_like(shown)).edges()
        expected = np.isin(np.arange(8), edges)[None].repeat(6, axis=0)
        np.testing.assert_array_equal(found, expected.T if turned else expected)


def test_resampling_to_an_undistorted_photo_keeps_depth() -> None:
    """Depth along the axis of a slanted plane is the same function of the ray, whatever the lens did."""
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=160, height=128, params=[130, 80, 64, -0.1])
    target = pycolmap.Camera(model="PINHOLE", width=150, height=118, params=[130, 130, 75, 59])
    photo_map = PhotoMap(pixel_map((160, 128), "a", size=160), (160, 128))
    network = Grid.of_network(photo_map)

    def plane(rays: np.ndarray) -> np.ndarray:
        return 1 / (0.3 + 0.05 * rays[:, 0] - 0.08 * rays[:, 1])

    depth = plane(camera.cam_from_img(network.centres())).reshape(128, 160).astype(np.float32)
    view = ViewDepth(depth, np.full_like(depth, 5.0), 1, float("nan"))

    made = resampled_view(view, photo_map, pycolmap.Image(name="a"), camera, target)

    expected = plane(target.cam_from_img(made.grid.centres())).reshape(118, 150)
    np.testing.assert_allclose(made.depth, expected, rtol=1e-4)
    assert (made.confidence == 5).all()


def test_resampling_says_nothing_outside_the_networks_crop() -> None:
    """A square photo is cropped to 4:3."""
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=128, height=128, params=[100, 64, 64])
    photo_map = PhotoMap(pixel_map((128, 128), "a", size=128), (128, 128))
    depth = np.full(photo_map.size, 3.0, np.float32)
    depth[0, 0] = np.nan

    made = resampled_view(
        ViewDepth(depth, np.full_like(depth, 2.0), 1, float("nan")),
        photo_map,
        pycolmap.Image(name="a"),
        camera,
    )

    assert not made.depth[:16].any()
    assert not made.depth[112:].any()
    assert (made.confidence[:16] == 1).all()
    assert made.depth[16, 0] == 0
    assert (made.depth[17:112] == 3).all()


@given(
    st.integers(1, 300),
    st.integers(1, 60),
    st.integers(1, 4),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.integers(),
)
def test_thinning_keeps_a_bounded_part_of_what_it_was_given(
    count: int, most: int, parts: int, unit: float, seed: int
) -> None:
    rng = np.random.default_rng(abs(seed))
    xyz = (rng.normal(size=(count, 3)) * unit).astype(np.float32)
    confidence = rng.random(count).astype(np.float32)
    rgb = rng.integers(0, 255, (count, 3), dtype=np.uint8)
    thinned = ThinnedCloud(most)
    for part in np.array_split(np.arange(count), parts):
        thinned.add(xyz[part], rgb[part], confidence[part])

    points, colours, certain = thinned.points()

    assert 1 <= len(points) <= most
    if count <= most:
        np.testing.assert_array_equal(points, xyz)
    rows = {point.tobytes(): index for index, point in enumerate(xyz)}
    kept = [rows[point.tobytes()] for point in points]
    np.testing.assert_array_equal(colours, rgb[kept])
    np.testing.assert_array_equal(certain, confidence[kept])
    assert confidence.argmax() in kept


def test_thinning_is_even_and_not_wasteful() -> None:
    rng = np.random.default_rng(0)
    xyz = np.concatenate([rng.random((90_000, 3)), rng.random((10_000, 3))])
    xyz[90_000:, 0] += 1
    xyz[:, 2] = 0
    thinned = ThinnedCloud(5000)
    for part in np.array_split(rng.permutation(len(xyz)), 20):
        thinned.add(xyz[part], np.zeros((len(part), 3), np.uint8), np.ones(len(part), np.float32))

    points, _, _ = thinned.points()

    assert 3000 < len(points) <= 5000
    assert np.mean(points[:, 0] < 1) == pytest.approx(0.5, abs=0.1)


def test_an_empty_cloud_stays_empty() -> None:
    thinned = ThinnedCloud(5)
    thinned.add(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))

    assert [len(part) for part in thinned.points()] == [0, 0, 0]


def test_partners_are_chosen_for_what_the_others_miss() -> None:
    points = {0: range(100), 1: range(60), 2: range(1, 58), 3: range(60, 95), 4: (), 5: (99,)}
    photos: dict[int, list[int]] = {p: [i for i, seen in points.items() if p in seen] for p in range(100)}
    covisibility = Covisibility(points, photos)

    assert covisibility.partners(0, 2) == [1, 3]
    assert covisibility.partners(0, 9) == [1, 3, 2, 5]
    assert covisibility.neighbours(0, 3) == [1, 2, 3]
    assert covisibility.partners(4, 3) == covisibility.neighbours(4, 3) == []
