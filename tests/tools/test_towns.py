"""Towns, chains and spins."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from render_scene import Shoot, main, plan
from synthetic import Photo, district, facades, radial_lens, write_dataset

SMALL = radial_lens(48, 36, focal_px=24.0)


@pytest.mark.parametrize(
    ("views", "scene"),
    [
        (60, "facades"),
        pytest.param(100, "bridge", marks=pytest.mark.slow),
        pytest.param(200, "district", marks=pytest.mark.slow),
    ],
)
def test_a_tour_goes_in_short_steps_through_no_wall(views: int, scene: str) -> None:
    photos = plan(Shoot(scene=scene, views=views))
    centres = np.array([photo.pose.centre for photo in photos])
    renderer = photos[0].scene.renderer()

    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    ahead = [renderer.depth(SMALL, photo.pose)[:, 20:28] for photo in photos[::6]]

    assert [photo.component for photo in photos] == [scene] * views
    assert steps.max() < 4.0
    assert min(depth[depth > 0].min() for depth in ahead) > 0.4  # nothing hangs before the lens
    assert np.median([np.median(depth) for depth in ahead]) > 3.0


@pytest.mark.slow
def test_no_view_leads_from_one_district_of_a_bridge_to_the_other() -> None:
    """Only photos in the alley stand in its range of x; from the districts nothing beyond it is seen."""
    photos = plan(Shoot(scene="bridge", views=100))
    renderer = photos[0].scene.renderer()
    x, y = SMALL.rays()

    west = [photo for photo in photos if photo.pose.centre[0] < -11]
    inside = [photo for photo in photos if abs(photo.pose.centre[0]) < 10]

    assert 5 <= len(inside) <= 12
    assert len(west) >= 40
    for photo in west[::4]:
        depth = renderer.depth(SMALL, photo.pose)
        local = np.stack([x, y, np.ones_like(x)], axis=-1)[depth > 0] * depth[depth > 0][:, None]
        world = (local - photo.pose.translation) @ photo.pose.rotation
        assert world[world[:, 2] < 5, 0].max() < 10.5  # roofs may be seen, streets not


def test_facades_repeat_a_few_fronts_in_different_rows_and_a_district_repeats_none() -> None:
    def fronts(scene) -> Counter[int]:
        return Counter(id(quad.texture) for quad in scene.quads if quad.texture.shape[1] > 200)

    def places(scene) -> dict[tuple[int, int], int]:
        return Counter(quad.texture.shape[:2] for quad in scene.quads)

    alike, different = facades(0, columns=2, rows=1), district(0, columns=2, rows=1)

    assert places(alike)[560, 440] >= 8  # 5.5 m x 7.0 m at 80 texels a metre, lit each in its own way
    assert places(facades(0, columns=2, rows=1, terraces=True))[560, 440] >= 2 * 8
    assert places(different)[560, 440] == 0
    assert max(fronts(different).values()) == 1


def shown(photos: list[Photo]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of every photo: depth (H, W) at an eighth of the size, and world points (H * W, 3) of its pixels."""
    depths, points = [], []
    renderer = photos[0].scene.renderer()
    for photo in photos:
        camera, pose = small(photo).camera, photo.pose
        depth = renderer.depth(camera, pose)
        x, y = camera.rays()
        local = np.stack([x, y, np.ones_like(x)], axis=-1) * depth[..., None]
        depths.append(depth)
        points.append(((local - pose.translation) @ pose.rotation).reshape(-1, 3))
    return depths, points


def small(photo: Photo) -> Photo:
    c = photo.camera
    camera = radial_lens(c.width // 8, c.height // 8, c.focal_px / 8, c.params[3])
    return replace(photo, camera=camera)


def visible(photo: Photo, depth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which world points (N, 3) are in the photo and not behind something."""
    camera = small(photo).camera
    local = points @ photo.pose.rotation.T + photo.pose.translation
    z = np.where(local[:, 2] > 0.1, local[:, 2], np.inf)
    x, y = local[:, 0] / z, local[:, 1] / z
    bent = 1 + camera.params[3] * (x * x + y * y)
    column = np.floor(np.where(np.hypot(x, y) < 2, camera.focal_px * x * bent, 1e6) + camera.width / 2)
    row = np.floor(camera.focal_px * y * bent + camera.height / 2)
    inside = (z < 1e9) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    there = depth[row[inside].astype(int), column[inside].astype(int)]
    inside[inside] = np.abs(there - z[inside]) < 0.05 * z[inside]
    return inside


def seen_by(photos: list[Photo]) -> np.ndarray:
    """Which of the points of photo i photo j shows, (N, N, pixels)."""
    depths, points = shown(photos)
    return np.array([[visible(p, d, own) for p, d in zip(photos, depths, strict=True)] for own in points])


@pytest.fixture(scope="module")
def chain() -> list[Photo]:
    return plan(Shoot(scene="chain", views=5, plain=True))


def test_in_a_chain_only_neighbours_share_and_no_point_is_in_three_photos(chain) -> None:
    seen = seen_by(chain)

    share = seen.mean(axis=2)
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    assert (share[apart == 0] > 0.97).all()
    assert (share[apart == 1] > 0.1).all()
    assert (share[apart > 1] == 0).all()
    assert seen.sum(axis=1).max() == 2


@pytest.mark.parametrize("option", ["--rolled", "--portrait"])
def test_a_chain_of_turned_photos_is_refused(option: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["render_scene.py", str(tmp_path), "--scene", "chain", option, "0.5"])

    with pytest.raises(SystemExit):
        main()

    assert "overlap is known" in capsys.readouterr().err


def test_a_spin_is_taken_from_one_point_and_closes_round_it() -> None:
    photos = plan(Shoot(scene="spin", views=12, plain=True))

    centres = np.array([photo.pose.centre for photo in photos])
    np.testing.assert_allclose(centres, np.broadcast_to(centres[0], (12, 3)), atol=1e-12)
    seen = seen_by(photos).mean(axis=2)
    assert all(seen[i, (i + 1) % 12] > 0.3 for i in range(12))
    assert seen[0, 6] == 0


def test_a_plain_scene_has_the_same_depth_but_nothing_for_sift(tmp_path) -> None:
    counts, depths = {}, {}
    for plain in (False, True):
        folder = tmp_path / str(plain)
        write_dataset(plan(Shoot(views=2, width=320, height=240, plain=plain)), folder, with_depth=True)
        database = tmp_path / f"{plain}.db"
        pycolmap.extract_features(database, folder / "images")
        with pycolmap.Database.open(database) as opened:
            ids = [image.image_id for image in opened.read_all_images()]
            counts[plain] = [opened.num_keypoints_for_image(i) for i in ids]
        depths[plain] = np.load(folder / "depth" / "photo_00.jpg.npy")

    np.testing.assert_array_equal(depths[True], depths[False])
    assert min(counts[False]) > 300
    assert max(counts[True]) < 10
