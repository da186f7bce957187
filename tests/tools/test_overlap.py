"""What photos of the special scenes share, worked out from their depth: nothing else guarantees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from render_scene import Shoot, main, plan
from synthetic import Photo, write_dataset


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
    camera = replace(c, width=c.width // 8, height=c.height // 8, focal_px=c.focal_px / 8)
    return replace(photo, camera=camera)


def visible(photo: Photo, depth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which world points (N, 3) are in the photo and not behind something."""
    camera = small(photo).camera
    local = points @ photo.pose.rotation.T + photo.pose.translation
    z = np.where(local[:, 2] > 0.1, local[:, 2], np.inf)
    x, y = local[:, 0] / z, local[:, 1] / z
    bent = 1 + camera.k1 * (x * x + y * y)
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


def test_in_a_chain_neighbours_have_parallax(chain) -> None:
    _, points = shown(chain)
    centres = np.array([photo.pose.centre for photo in chain])

    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
    distance = [np.median(np.linalg.norm(p - c, axis=1)) for p, c in zip(points, centres, strict=True)]

    assert (steps / np.mean(distance) > 0.5).all()
    ranges = [np.ptp(own[:, 1]) for own in points]
    assert min(ranges) > 1.5  # deep enough not to be one plane


def test_another_lens_keeps_the_chain_a_chain() -> None:
    shoot = Shoot(scene="chain", views=3, focal_factor=1.1, width=480, height=480, k1=0.0, plain=True)

    seen = seen_by(plan(shoot))

    assert seen.sum(axis=1).max() == 2
    assert min(seen[0, 1].mean(), seen[1, 0].mean(), seen[1, 2].mean(), seen[2, 1].mean()) > 0.1


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
