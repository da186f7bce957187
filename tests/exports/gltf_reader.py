"""A strict reader of what we use of glTF 2.0, written from the specification alone."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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
                assert primitive.get("mode", 4) in (0, 1, 4)
                position = self.tree["accessors"][primitive["attributes"]["POSITION"]]
                values = self.array(primitive["attributes"]["POSITION"])
                assert np.isfinite(values).all()
                np.testing.assert_array_equal(np.float32(position["min"]), values.min(axis=0))
                np.testing.assert_array_equal(np.float32(position["max"]), values.max(axis=0))
                if "TEXCOORD_0" in primitive["attributes"]:
                    self.check_textured(primitive, position["count"])
                    continue
                colour = self.tree["accessors"][primitive["attributes"]["COLOR_0"]]
                assert colour["normalized"]
                assert colour["count"] == position["count"]
        for camera in self.tree.get("cameras", []):
            assert camera["type"] == "perspective"
            assert 0 < camera["perspective"]["yfov"] < np.pi
            assert camera["perspective"]["znear"] > 0
            assert camera["perspective"]["aspectRatio"] > 0

    def check_textured(self, primitive: dict[str, Any], count: int) -> None:
        where = self.array(primitive["attributes"]["TEXCOORD_0"])
        assert len(where) == count
        assert where.min() >= 0
        assert where.max() <= 1
        triangles = self.array(primitive["indices"])
        assert len(triangles) % 3 == 0
        assert triangles.max() < count
        assert self.picture(primitive).width > 0
        assert "KHR_materials_unlit" in self.tree["extensionsUsed"]

    def picture(self, primitive: dict[str, Any]) -> Image.Image:
        """The texture of a primitive."""
        material = self.tree["materials"][primitive["material"]]
        texture = self.tree["textures"][material["pbrMetallicRoughness"]["baseColorTexture"]["index"]]
        image = self.tree["images"][texture["source"]]
        view = self.tree["bufferViews"][image["bufferView"]]
        start = view.get("byteOffset", 0)
        picture = Image.open(io.BytesIO(self.binary[start : start + view["byteLength"]]))
        assert Image.MIME[str(picture.format)] == image["mimeType"]
        picture.load()
        return picture

    def primitive(self, name: str) -> dict[str, Any]:
        """The one primitive of a node."""
        (found,) = self.tree["meshes"][self.node(name)["mesh"]]["primitives"]
        return dict(found)

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

    def positions(self, name: str) -> np.ndarray:
        """World positions of a node's one primitive."""
        local = self.array(self.primitive(name)["attributes"]["POSITION"])
        return (np.column_stack([local, np.ones(len(local))]) @ self.placed(name).T)[:, :3]

    def mesh(self, name: str) -> tuple[int, np.ndarray, np.ndarray]:
        """Mode, world positions and colours of a node's one primitive."""
        primitive = self.primitive(name)
        return primitive["mode"], self.positions(name), self.array(primitive["attributes"]["COLOR_0"])
