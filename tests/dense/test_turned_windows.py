"""Windows that look along their own axis, and pixels that are asked for in windows."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.mast3r.oracle.oracle_scene import depth_at
from sfm.mast3r.values import DenseMatches, TurnedMap
from sfm.matching.dense.inference.pixel_queries import PixelQueries
from sfm.matching.dense.inference.window_tokens import WindowTokens
from sfm.matching.dense.inference.windows import turned
from tests.dense.test_coarse_to_fine import (
    PAIR,
    SIZE,
    A,
    B,
    Faulty,
    described,
    encoded,
    errors,
    out_of_memory,
    render,
)
from tests.dense.test_windows import laid


def camera(model: str = "PINHOLE", size: tuple[int, int] = (2000, 1400)) -> pycolmap.Camera:
    """With a focal length of 1500 px, and its principal point beside the middle."""
    found = pycolmap.Camera.create_from_model_name(1, model, 1500.0, *size)
    params = np.array(found.params)
    params[list(found.focal_length_idxs())[-1]] = 1450.0
    params[list(found.principal_point_idxs())] += (30, -20)
    found.params = params.tolist()
    return found


def directions(found: pycolmap.Camera, xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Unit vectors (N, 3) of the rays through photo positions (N, 2)."""
    rays = np.column_stack((found.cam_from_img(xy.astype(np.float64)), np.ones(len(xy))))
    return np.asarray(rays / np.linalg.norm(rays, axis=1)[:, None])


def test_each_window_is_what_the_turned_camera_sees() -> None:
    plain = laid(2000, 1400, max_pairs=100)
    windows = turned(plain, camera())
    height, width = windows.size
    rng = np.random.default_rng(0)
    pixels = rng.uniform(-0.5, (width - 0.5, height - 0.5), (50, 2))
    middle = np.array([[width - 1, height - 1]]) / 2
    rays = np.column_stack(((pixels - middle) / (1500, 1450), np.ones(50)))
    rays /= np.linalg.norm(rays, axis=1)[:, None]

    assert plain.photo_px == windows.photo_px == 1
    for i in range(len(windows.maps)):
        grid = windows.photo_map(i)
        np.testing.assert_allclose(grid.to_photo(middle), plain.photo_map(i).to_photo(middle), atol=1e-3)
        seen = directions(camera(), grid.to_photo(pixels))
        np.testing.assert_allclose(seen @ seen.T, rays @ rays.T, atol=1e-6)  # a turn keeps all angles
        np.testing.assert_allclose(grid.to_network(grid.to_photo(pixels)), pixels, atol=2e-3)


@given(st.integers(1, 8))
def test_rolled_photos_have_the_same_windows_in_stored_pixels(orientation: int) -> None:
    size = (2000, 1400)
    windows = turned(laid(*size, max_pairs=100, orientation=orientation), camera())
    middle = np.array([windows.size[::-1]]) / 2 - 0.5
    rng = np.random.default_rng(1)
    pixels = middle + rng.uniform(-150, 150, (20, 2))

    for i in range(len(windows.maps)):
        at, aside = (directions(camera(), windows.photo_map(i).to_photo(xy)) for xy in (middle, pixels))
        rays = (pixels - middle) / ((1500, 1450) if orientation < 5 else (1450, 1500))
        np.testing.assert_allclose(aside @ at[0], 1 / np.sqrt(1 + (rays**2).sum(axis=1)), atol=1e-5)


@pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "EQUIRECTANGULAR"])
def test_windows_of_cameras_without_an_image_plane_stay(model: str) -> None:
    windows = laid(2000, 1000)
    spherical = pycolmap.Camera.create_from_model_name(1, model, 900.0, 2000, 1000)

    assert windows.maps
    assert turned(windows, spherical) is windows


def test_no_window_shows_what_lies_behind_it() -> None:
    # Looks along +x: what it shows has x above 0 in its photo's plane.
    grid = TurnedMap((0.0, 0, 1, 0, 1, 0, -1, 0, 0.001), (32, 32), 1.0)
    there = np.array([[50.0, 0.0], [-50.0, 0.0]])

    back = grid.to_photo(grid.to_network(there).astype(np.float64))

    inside = (np.abs(grid.to_network(there)) < 1e5).all(axis=1)
    assert inside.tolist() == [True, False]
    np.testing.assert_allclose(back[0], there[0], atol=1e-2)


def test_pixels_of_a_turned_window_are_those_of_the_photo_there(tmp_path: Path) -> None:
    width, height = 4 * SIZE, 3 * SIZE
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    ramp = np.stack((0.7 * x, 0.7 * y, 255 - 0.7 * x), axis=-1)
    (tmp_path / "images").mkdir()
    Image.fromarray(ramp.round().astype(np.uint8)).save(tmp_path / "images" / "ramp.png")
    lens = camera("SIMPLE_PINHOLE", (width, height))
    lens.params = [0.8 * width, width / 2, height / 2]
    photos = encoded(tmp_path, OraclePredictor.__new__(OraclePredictor), tmp_path)
    tokens = WindowTokens(photos, 100, {"ramp.png": lens})
    pixels = tokens._read("ramp.png")
    assert pixels is not None

    for i in range(len(tokens.windows("ramp.png"))):
        cut = tokens._cut("ramp.png", i, pixels).pixels
        rows, columns = np.mgrid[: cut.shape[0], : cut.shape[1]].reshape(2, -1)
        where = tokens.windows("ramp.png").photo_map(i).to_photo(np.column_stack((columns, rows)))
        inner = ((where > 2) & (where < np.array([width, height]) - 2)).all(axis=1)
        across, down = 0.7 * where[inner].T
        off = cut.reshape(-1, 3)[inner] - np.column_stack((across, down, 255 - across))
        assert inner.mean() > 0.7  # corners reach beyond the photo
        assert np.abs(off).max() < 1.6  # one picture is rounded, the other rounded down
        assert abs((off[:, 0] - off[:, 2]).mean()) < 0.35  # half a pixel would be 0.7


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    eyes = {A: (-1.0, -4.0, 1.6, 4), B: (0.6, -4.5, 1.9, 4)}
    return render(tmp_path_factory.mktemp("scene"), eyes)


@pytest.fixture(scope="module")
def oracle(scene: Path) -> OraclePredictor:
    return OraclePredictor(scene, size=SIZE)


def positions(oracle: OraclePredictor) -> NDArray[np.float64]:
    """Of the first photo, px, where its depth is known."""
    rng = np.random.default_rng(0)
    xy = rng.uniform(8, (4 * SIZE - 8, 3 * SIZE - 8), (1500, 2))
    return np.asarray(xy[depth_at(oracle.view(A).depth(), xy) > 0])


def shown(queries: PixelQueries, xy: NDArray[np.float64]) -> DenseMatches:
    found = queries.shown(B, A, xy)
    assert not isinstance(found, str)
    return DenseMatches(
        xy[found.rows].astype(np.float32), found.xy.astype(np.float32), found.confidence.astype(np.float32)
    )


@pytest.mark.parametrize("turns", [False, True])
def test_windows_show_more_positions_more_exactly(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, turns: bool
) -> None:
    photos, xy = encoded(scene, oracle, tmp_path), positions(oracle)
    cameras = {name: oracle.view(name).camera for name in (A, B)} if turns else {}
    coarse = PixelQueries(oracle, photos, 1.001)
    fine = replace(coarse, windows=WindowTokens(photos, 16, cameras))

    whole, windows = shown(coarse, xy), shown(fine, xy)

    assert (coarse.matched_px(A), fine.matched_px(A)) == (4, 1)
    assert np.median(errors(oracle, windows, PAIR)) < 0.4 * np.median(errors(oracle, whole, PAIR))
    asked = [len(np.unique(found.xy_a, axis=0)) for found in (whole, windows)]
    assert asked[1] > asked[0]
    assert ((windows.xy_b >= 0) & (windows.xy_b <= (4 * SIZE, 3 * SIZE))).all()


def test_without_memory_for_windows_positions_in_whole_photos_stay(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faulty, xy = Faulty(oracle, out_of_memory), positions(oracle)
    photos = encoded(scene, faulty, tmp_path)
    coarse = PixelQueries(faulty, photos, 1.001)

    with caplog.at_level(logging.WARNING):
        windows = shown(replace(coarse, windows=WindowTokens(photos, 16)), xy)

    np.testing.assert_array_equal(windows.xy_b, shown(coarse, xy).xy_b)
    assert "a pair of windows is left out: out of memory" in caplog.text


def test_a_photo_that_is_gone_keeps_positions_in_the_whole_photo(
    scene: Path, oracle: OraclePredictor, tmp_path: Path
) -> None:
    path = tmp_path / A
    path.write_bytes((scene / "images" / A).read_bytes())
    photos, xy = encoded(scene, oracle, tmp_path, described(path)), positions(oracle)
    coarse = PixelQueries(oracle, photos, 1.001)
    before = shown(coarse, xy)
    path.unlink()

    after = shown(replace(coarse, windows=WindowTokens(photos, 16)), xy)

    np.testing.assert_array_equal(after.xy_b, before.xy_b)
