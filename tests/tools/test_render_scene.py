"""The renderer against geometry worked out by hand, and the demo data that it made."""

import hashlib
import json

import numpy as np
import pycolmap
import pytest
import render_scene
from PIL import Image
from render_scene import Shoot, plan
from synthetic import Lens, Pose, Renderer, fisheye_lens, look_at, radial_lens, square, write_dataset
from synthetic.quads import Quad

SKY = (np.array([10.0, 20.0, 30.0]), np.array([10.0, 20.0, 30.0]))
CAMERA = radial_lens(64, 48, focal_px=50.0, k1=-0.05)
BARREL = radial_lens(64, 48, focal_px=44.8, k1=-0.28, k2=0.09)
GOPRO = fisheye_lens(64, 48, 34.0, 0.045, 0.02, -0.02, 0.004)
AHEAD = Pose(np.eye(3), np.zeros(3))


def poster(colours: np.ndarray, depth: float) -> Quad:
    """A rectangle of 4 x 4 m across the optical axis; its first row is at the top of the picture."""
    origin = np.array([-2.0, 2.0, depth])
    return Quad(origin, np.array([4.0, 0, 0]), np.array([0, -4.0, 0]), colours.astype(np.uint8))


def colmap_camera(camera: Lens) -> pycolmap.Camera:
    return pycolmap.Camera(model=camera.model, width=camera.width, height=camera.height, params=camera.params)


@pytest.mark.parametrize("camera", [CAMERA, BARREL, GOPRO])
def test_rays_are_those_of_colmaps_camera_at_pixel_centres(camera: Lens) -> None:
    x, y = camera.rays()

    corners = np.array([[0.5, 0.5], [63.5, 47.5], [10.5, 30.5]])
    expected = colmap_camera(camera).cam_from_img(corners)

    for (column, row), ray in zip(corners.astype(int), expected, strict=True):
        assert (x[row, column], y[row, column]) == pytest.approx(tuple(ray), abs=1e-5)


@pytest.mark.parametrize("fisheye", [False, True])
def test_a_principal_point_may_be_off_the_middle(fisheye: bool) -> None:
    (photo,) = plan(Shoot(views=1, width=64, height=48, fisheye=fisheye, k1=0.0, shift_x=3, shift_y=-2))

    camera = colmap_camera(photo.camera)
    assert (camera.principal_point_x, camera.principal_point_y) == (35, 22)
    assert camera.mean_focal_length() == pytest.approx(0.7 * 64)


@pytest.mark.parametrize("camera", [radial_lens(64, 48, 44.8, -0.28), fisheye_lens(64, 48, 34.0, -0.3)])
def test_a_lens_that_bends_its_outer_rays_back_in_is_refused(camera: Lens) -> None:
    with pytest.raises(ValueError, match="radius must grow"):
        camera.rays()


def test_depth_is_measured_along_the_axis_and_zero_in_the_sky() -> None:
    grey = np.full((8, 8, 3), 128)
    depth = Renderer([poster(grey, 5.0), poster(grey, 3.0)], sky=SKY).depth(CAMERA, AHEAD)

    assert depth.dtype == np.float32
    assert depth[24, 32] == pytest.approx(3.0)  # the nearer of the two
    assert depth[24, 0] == pytest.approx(3.0, rel=1e-6)  # 0.65 * 3 m to the left: still on it, not farther
    far = Renderer([poster(grey, 50.0)], sky=SKY).depth(CAMERA, AHEAD)
    assert far[0, 0] == 0.0


def test_a_slanted_plane_has_the_depth_of_its_equation() -> None:
    slanted = Quad(
        np.array([-30.0, 30.0, 10.0]),
        np.array([60.0, 0, 20.0]),
        np.array([0, -60.0, 0]),
        np.zeros((4, 4, 3), np.uint8),
    )

    depth = Renderer([slanted], sky=SKY).depth(CAMERA, AHEAD)

    x, _ = CAMERA.rays()
    np.testing.assert_allclose(depth, 20.0 / (1 - x / 3), rtol=1e-5)  # z = 10 + (x_m + 30) / 3


def test_the_picture_shows_the_texture_upright_and_unmirrored() -> None:
    colours = np.zeros((2, 2, 3))
    colours[0, 0], colours[0, 1], colours[1, 0], colours[1, 1] = (
        (250, 0, 0),
        (0, 250, 0),
        (0, 0, 250),
        (250, 250, 0),
    )

    picture = Renderer([poster(colours, 5.0)], sky=SKY).colour(radial_lens(64, 48, 50.0), AHEAD)

    assert tuple(picture[8, 16].round()) == (250, 0, 0)
    assert tuple(picture[8, 48].round()) == (0, 250, 0)
    assert tuple(picture[40, 16].round()) == (0, 0, 250)
    assert tuple(picture[40, 48].round()) == (250, 250, 0)


def test_a_quad_that_reaches_behind_the_camera_is_clipped_not_lost() -> None:
    floor = Quad(
        np.array([-50.0, 1.5, -50.0]),
        np.array([100.0, 0, 0]),
        np.array([0, 0, 100.0]),
        np.zeros((4, 4, 3), np.uint8),
    )

    depth = Renderer([floor], sky=SKY).depth(CAMERA, AHEAD)

    _, y = CAMERA.rays()
    below = y > 0.05
    np.testing.assert_allclose(depth[below], 1.5 / y[below], rtol=1e-4)
    assert (depth[y < 0] == 0).all()


def test_culling_and_texture_sharing_change_nothing() -> None:
    """A subset of a scene seen alone gives the same depth wherever it is what the whole scene shows."""
    scene = square(3)
    pose = look_at(np.array([6.0, 4.0, 1.7]), np.array([-5.0, -4.0, 2.0]))
    whole = scene.renderer().depth(CAMERA, pose)
    parts = np.stack([Renderer([quad], sky=SKY).depth(CAMERA, pose) for quad in scene.quads])

    nearest = np.where(parts > 0, parts, np.inf).min(axis=0)

    np.testing.assert_allclose(whole, np.where(np.isfinite(nearest), nearest, 0), rtol=1e-6)


def test_look_at_puts_the_target_in_the_centre_and_up_upwards() -> None:
    eye, target = np.array([3.0, -2.0, 1.6]), np.array([-1.0, 5.0, 2.0])
    pose = look_at(eye, target)

    seen = pose.rotation @ target + pose.translation
    above = pose.rotation @ (target + np.array([0, 0, 1.0])) + pose.translation

    assert seen == pytest.approx([0, 0, np.linalg.norm(target - eye)], abs=1e-9)
    assert above[1] < 0
    assert pose.centre == pytest.approx(eye)
    assert np.linalg.det(pose.rotation) == pytest.approx(1.0)


def test_the_look_alikes_are_one_texture_in_two_places_and_only_if_wanted() -> None:
    shoot = Shoot(views=2)

    with_twins = square(shoot.seed).quads
    without = square(shoot.seed, look_alikes=False).quads

    sizes = [quad.texture.shape for quad in with_twins if quad.texture.shape == (560, 440, 3)]
    assert len(sizes) == 2
    assert not [quad for quad in without if quad.texture.shape == (560, 440, 3)]


def digest(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_shoot_is_the_same_every_time_and_another_seed_is_another_place(tmp_path) -> None:
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        shoot = Shoot(views=3, width=96, height=72, seed=seed)
        write_dataset(plan(shoot), tmp_path / name, seed=seed, with_depth=True)

    a, b, c = (digest(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())
    assert np.load(tmp_path / "a" / "depth" / "photo_00.jpg.npy").shape == (72, 96)


def test_two_squares_are_two_components_and_portrait_photos_have_their_own_camera() -> None:
    photos = plan(Shoot(scene="two-squares", views=12, portrait=0.5, rolled=0.5, shuffle=True))

    assert sorted(photo.component for photo in photos) == ["first"] * 6 + ["second"] * 6
    assert {(photo.camera.width, photo.camera.height) for photo in photos} == {(640, 480), (480, 640)}
    tilts = {
        round(np.degrees(np.arctan2(*(photo.pose.rotation @ [0, 0, 1.0])[:2])) / 90) % 4 for photo in photos
    }
    assert len(tilts) > 1  # where "up" points in the picture


@pytest.mark.slow
def test_a_walk_round_the_block_comes_back_to_where_it_began() -> None:
    photos = plan(Shoot(scene="street", views=60))
    centres = np.array([photo.pose.centre for photo in photos])

    steps = np.linalg.norm(np.diff(np.vstack([centres, centres[:1]]), axis=0), axis=1)

    assert steps.max() < 4.0
    assert np.linalg.norm(centres[0] - centres[30]) > 30


@pytest.mark.parametrize("scene", ["pan-square", "pan-street", "pan-district"])
def test_a_walker_who_turns_at_each_stop_moves_only_between_them(scene: str) -> None:
    centres = np.array([photo.pose.centre for photo in plan(Shoot(scene=scene, views=20))])

    within, between = np.ptp(centres[:10], axis=0), np.ptp(centres.reshape(2, 10, 3).mean(axis=1), axis=0)

    assert np.linalg.norm(within) < 0.5 < np.linalg.norm(between)


def test_a_folder_with_pictures_is_not_overwritten(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.jpg").write_bytes(b"mine")
    monkeypatch.setattr("sys.argv", ["render_scene.py", str(tmp_path)])

    with pytest.raises(SystemExit):
        render_scene.main()

    assert "already holds files" in capsys.readouterr().err
    assert digest(tmp_path) == {"images/mine.jpg": hashlib.sha256(b"mine").hexdigest()}


def test_the_committed_demo_is_what_the_tool_plans(demo_data) -> None:
    truth = json.loads((demo_data / "gt.json").read_text())
    photos = plan(Shoot())

    assert sorted(truth["images"]) == [photo.name for photo in photos]
    assert sorted(path.name for path in (demo_data / "images").iterdir()) == sorted(truth["images"])
    assert sum(path.stat().st_size for path in demo_data.rglob("*")) < 5e6
    for photo in photos:
        np.testing.assert_allclose(truth["images"][photo.name]["R_cw"], photo.pose.rotation, atol=1e-12)
        assert truth["cameras"][photo.name]["params"] == list(photo.camera.params)
        with Image.open(demo_data / "images" / photo.name) as picture:
            assert picture.size == (640, 480)
            assert not picture.getexif()


def test_the_committed_pictures_agree_with_the_renderer(demo_data) -> None:
    """One picture, roughly: decoders and fonts may differ in the last bits, the place may not."""
    photo = plan(Shoot())[8]
    small = radial_lens(160, 120, photo.camera.focal_px / 4, photo.camera.params[3])

    rendered = photo.scene.renderer().colour(small, photo.pose, supersample=4)

    with Image.open(demo_data / "images" / photo.name) as picture:
        committed = np.asarray(picture.resize((160, 120), Image.Resampling.BOX), dtype=np.float64)
    assert np.abs(rendered - committed).mean() < 8.0
    assert np.corrcoef(rendered.ravel(), committed.ravel())[0, 1] > 0.98
