"""The scene as a strict reader of glTF 2.0 finds it."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.exports.dense_cloud import Cloud
from sfm.exports.glb import Pictures, write_glb
from sfm.exports.mesh import Surface
from sfm.exports.source import SceneOptions
from sfm.exports.view_maps import Grid
from tests.exports.gltf_reader import Glb


@pytest.fixture
def model() -> pycolmap.Reconstruction:
    """Three level photos taken around the origin of a world whose up is +x."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(
        camera_id=1, model="OPENCV", width=640, height=480, params=[500, 510, 330, 236, 0.1, 0, 0, 0]
    )
    model.add_camera_with_trivial_rig(camera)
    for image_id, (name, turn) in enumerate({"a.jpg": 0.3, "b/ü 1.jpg": 1.4, "c.png": 4.0}.items(), 1):
        eye = 5 * np.array([0.2, np.cos(turn), np.sin(turn)])
        forward = -eye * [0, 1, 1] / 5
        down = np.array([-1.0, 0, 0])
        rotation = np.stack([np.cross(down, forward), down, forward])
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ eye)
        model.add_image_with_trivial_frame(pycolmap.Image(name=name, camera_id=1, image_id=image_id), pose)
    return model


def a_cloud(count: int) -> Cloud:
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(count, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    return Cloud(xyz, rgb, np.ones(count, np.float32), count, 0, 0, 0.0)


def test_points_and_cameras_stand_upright(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    cloud = a_cloud(1001)
    write_glb(model, cloud, {}, tmp_path / "scene.glb")

    scene = Glb(tmp_path / "scene.glb")

    turn = scene.placed("model")
    mode, points, colours = scene.mesh("points")
    assert mode == 0
    np.testing.assert_allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(turn[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-6)  # the world's up is glTF's
    np.testing.assert_allclose(points, cloud.xyz @ turn[:3, :3].T, atol=1e-6)
    np.testing.assert_array_equal(colours[:, :3], cloud.rgb)


def test_each_photo_has_a_camera_where_it_was_taken(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    write_glb(model, a_cloud(10), {}, tmp_path / "scene.glb")

    scene = Glb(tmp_path / "scene.glb")

    turn = scene.placed("model")[:3, :3]
    for image in model.images.values():
        pose = image.cam_from_world()
        placed = scene.placed(image.name)
        np.testing.assert_allclose(placed[:3, 3], turn @ image.projection_center(), atol=1e-6)
        np.testing.assert_allclose(-placed[:3, 2], turn @ pose.rotation.matrix()[2], atol=1e-6)
        assert placed[1, 1] == pytest.approx(1, abs=1e-6)  # level
        camera = scene.tree["cameras"][scene.node(image.name)["camera"]]
        assert camera["name"] == image.name
        assert camera["perspective"]["yfov"] == pytest.approx(2 * np.arctan(240 / 510))
        assert camera["perspective"]["aspectRatio"] == pytest.approx(640 / 500 * 510 / 480)


def test_a_frustum_spans_its_photo(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    write_glb(model, a_cloud(10), {}, tmp_path / "scene.glb")
    scene = Glb(tmp_path / "scene.glb")
    image = model.image(2)
    turn = scene.placed("model")[:3, :3]

    mode, ends, _ = scene.mesh(image.name)

    assert mode == 1
    local = np.array([image.cam_from_world() * point for point in ends @ turn])
    ahead = local[local[:, 2] > 1e-6]
    pixels = ahead[:, :2] / ahead[:, 2:] * [500, 510] + [330, 236]
    for corner in ([0, 0], [640, 0], [640, 480], [0, 480]):
        assert np.linalg.norm(pixels - corner, axis=1).min() < 0.01
    assert (pixels[:, 1].min()) < -50  # the roof, above the photo's top
    assert (np.linalg.norm(local, axis=1) < 1e-5).sum() >= 4


def test_a_scene_without_points_is_valid(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    write_glb(model, a_cloud(0), {}, tmp_path / "scene.glb")

    scene = Glb(tmp_path / "scene.glb")

    assert len(scene.tree["cameras"]) == 3
    assert not [node for node in scene.tree["nodes"] if node.get("name") == "points"]


GREY = np.full((48, 64, 3), 128, np.uint8)
GRIDS = {name: Grid((10.0, 10.0), (0.0, 0.0), (64, 48)) for name in ("a.jpg", "b/ü 1.jpg")}


def test_surfaces_take_the_place_of_the_cloud(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    corners = np.array([(0, 0, 0), (0, 1, 0), (1, 0, 0)], np.float32)
    where = np.array([(0.25, 0.0), (0.25, 1.0), (1.0, 0.0)], np.float32)
    texture = np.zeros((2, 4, 3), np.uint8)
    texture[0, 0] = (255, 0, 0)
    surface = Surface("a.jpg", corners, where, np.array([(0, 1, 2)]), texture)

    write_glb(model, a_cloud(10), {}, tmp_path / "scene.glb", surfaces=[surface, surface])

    scene = Glb(tmp_path / "scene.glb")
    assert "points" not in [node.get("name") for node in scene.tree["nodes"]]
    for number in (0, 1):
        primitive = scene.primitive(f"surface {number} of a.jpg")
        turn = scene.placed("model")[:3, :3]
        np.testing.assert_allclose(scene.positions(f"surface {number} of a.jpg"), corners @ turn.T, atol=1e-6)
        # glTF counts from the upper left corner of the picture, whose pixel there is red
        np.testing.assert_allclose(scene.array(primitive["attributes"]["TEXCOORD_0"]), where, atol=1e-6)
        assert scene.picture(primitive).convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_photos_lie_on_the_planes_of_their_cameras(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    pictures = Pictures(GRIDS, lambda name: GREY)

    write_glb(model, a_cloud(10), {}, tmp_path / "scene.glb", pictures=pictures)

    scene = Glb(tmp_path / "scene.glb")
    image = next(image for image in model.images.values() if image.name == "b/ü 1.jpg")
    turn = scene.placed("model")[:3, :3]
    corners = np.array(
        [image.cam_from_world() * point for point in scene.positions("photo of b/ü 1.jpg") @ turn]
    )
    pixels = corners[:, :2] / corners[:, 2:] * [500, 510] + [330, 236]
    np.testing.assert_allclose(pixels, [(0, 480), (640, 480), (640, 0), (0, 0)], atol=0.01)
    assert scene.picture(scene.primitive("photo of b/ü 1.jpg")).size == (64, 48)
    names = {node.get("name") for node in scene.tree["nodes"]}
    assert "photo of c.png" not in names  # of which there are no pixels
    assert {"c.png", "a.jpg"} <= names


@pytest.mark.parametrize(
    ("options", "drawn"),
    [(SceneOptions(photos=False), {"a.jpg", "b/ü 1.jpg", "c.png"}), (SceneOptions(camera_size=0.0), set())],
    ids=["plain", "none"],
)
def test_cameras_are_plain_or_not_drawn(
    model: pycolmap.Reconstruction, tmp_path: Path, options: SceneOptions, drawn: set[str]
) -> None:
    pictures = Pictures(GRIDS, lambda name: GREY)

    write_glb(model, a_cloud(10), {}, tmp_path / "scene.glb", options=options, pictures=pictures)

    scene = Glb(tmp_path / "scene.glb")
    assert {node["name"] for node in scene.tree["nodes"] if "mesh" in node} == drawn | {"points"}
    assert len(scene.tree["cameras"]) == 3


def test_the_size_of_cameras_is_what_was_asked_for(model: pycolmap.Reconstruction, tmp_path: Path) -> None:
    write_glb(model, a_cloud(10), {}, tmp_path / "scene.glb", options=SceneOptions(camera_size=0.75))

    scene = Glb(tmp_path / "scene.glb")
    local = np.column_stack([scene.positions("a.jpg"), np.ones(len(scene.positions("a.jpg")))])
    assert (local @ np.linalg.inv(scene.placed("a.jpg")).T)[:, 2].min() == pytest.approx(-0.75, abs=1e-6)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_first_camera_can_be_the_frame(
    model: pycolmap.Reconstruction, tmp_path: Path, orientation: int
) -> None:
    options = SceneOptions(frame="first-camera")

    write_glb(model, a_cloud(10), {"a.jpg": orientation}, tmp_path / "scene.glb", options=options)

    placed = Glb(tmp_path / "scene.glb").placed("a.jpg")
    # Stored a quarter turned: what is to the right in its pixels is below when it is looked at.
    expected = (
        np.eye(4)
        if orientation == 1
        else np.array([(0, 1, 0, 0), (-1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)], float)
    )
    np.testing.assert_allclose(placed, expected, atol=1e-9)
