"""The scene as a strict reader of glTF 2.0 finds it, written from the specification alone."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest

from sfm.exports.dense_cloud import Cloud
from sfm.exports.glb import write_glb

COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """Reads a file and refuses what glTF 2.0 does not allow in what we use of it."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        chunks, at = [], 12
        while at < length:
            size, kind = struct.unpack_from("<I4s", data, at)
            assert size % 4 == 0
            assert at + 8 + size <= length
            chunks.append((kind, data[at + 8 : at + 8 + size]))
            at += 8 + size
        assert [kind for kind, _ in chunks][:1] == [b"JSON"]
        assert [kind for kind, _ in chunks][1:] in ([], [b"BIN\0"])
        self.tree: dict[str, Any] = json.loads(chunks[0][1])
        self.binary = chunks[1][1] if len(chunks) > 1 else b""
        assert self.tree["asset"]["version"] == "2.0"
        assert not self.tree.get("extensionsRequired")
        for buffer in self.tree.get("buffers", []):
            assert "uri" not in buffer
            assert 0 <= len(self.binary) - buffer["byteLength"] < 4
        self.check_accessors()
        self.check_nodes()

    def check_accessors(self) -> None:
        for accessor in self.tree.get("accessors", []):
            view = self.tree["bufferViews"][accessor["bufferView"]]
            dtype = np.dtype(COMPONENTS[accessor["componentType"]])
            size = dtype.itemsize * WIDTHS[accessor["type"]]
            start = accessor.get("byteOffset", 0)
            assert (start + view.get("byteOffset", 0)) % dtype.itemsize == 0
            assert start + accessor["count"] * size <= view["byteLength"]
            assert view.get("byteOffset", 0) + view["byteLength"] <= len(self.binary)
            assert accessor["count"] >= 1

    def check_nodes(self) -> None:
        nodes = self.tree["nodes"]
        children = [child for node in nodes for child in node.get("children", [])]
        roots = self.tree["scenes"][self.tree["scene"]]["nodes"]
        assert sorted(children + roots) == list(range(len(nodes)))  # one parent each: no cycles, no orphans
        for node in nodes:
            assert len(node.get("matrix", [0] * 16)) == 16
        for mesh in self.tree.get("meshes", []):
            for primitive in mesh["primitives"]:
                assert primitive["mode"] in (0, 1)
                position = self.tree["accessors"][primitive["attributes"]["POSITION"]]
                values = self.array(primitive["attributes"]["POSITION"])
                assert np.isfinite(values).all()
                np.testing.assert_array_equal(np.float32(position["min"]), values.min(axis=0))
                np.testing.assert_array_equal(np.float32(position["max"]), values.max(axis=0))
                colour = self.tree["accessors"][primitive["attributes"]["COLOR_0"]]
                assert colour["normalized"]
                assert colour["count"] == position["count"]
        for camera in self.tree.get("cameras", []):
            assert camera["type"] == "perspective"
            assert 0 < camera["perspective"]["yfov"] < np.pi
            assert camera["perspective"]["znear"] > 0
            assert camera["perspective"]["aspectRatio"] > 0

    def array(self, index: int) -> np.ndarray:
        accessor = self.tree["accessors"][index]
        view = self.tree["bufferViews"][accessor["bufferView"]]
        width = WIDTHS[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        dtype = COMPONENTS[accessor["componentType"]]
        values = np.frombuffer(self.binary, dtype, accessor["count"] * width, start)
        return values.reshape(-1, width)

    def node(self, name: str) -> dict[str, Any]:
        (found,) = [node for node in self.tree["nodes"] if node.get("name") == name]
        return found

    def placed(self, name: str) -> np.ndarray:
        """World from the node's own frame."""
        index = self.tree["nodes"].index(self.node(name))
        matrix = np.array(self.node(name).get("matrix", np.eye(4).ravel()), float).reshape(4, 4).T
        for parent in self.tree["nodes"]:
            if index in parent.get("children", []):
                return self.placed(parent["name"]) @ matrix
        return matrix

    def mesh(self, name: str) -> tuple[int, np.ndarray, np.ndarray]:
        """Mode, world positions and colours of a node's one primitive."""
        (primitive,) = self.tree["meshes"][self.node(name)["mesh"]]["primitives"]
        local = self.array(primitive["attributes"]["POSITION"])
        world = np.column_stack([local, np.ones(len(local))]) @ self.placed(name).T
        return primitive["mode"], world[:, :3], self.array(primitive["attributes"]["COLOR_0"])


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
