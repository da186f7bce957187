"""A scene for any 3D viewer: a coloured cloud and the cameras, as binary glTF 2.0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import trimesh
from numpy.typing import NDArray

from sfm.exports.dense_cloud import Cloud
from sfm.geometry.gravity import upright_from_world

_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_CAMERA_COLOUR = (40, 110, 210, 255)
_MODEL = "model"


def write_glb(
    model: pycolmap.Reconstruction, cloud: Cloud, orientations: Mapping[str, int], path: Path
) -> None:
    """Write the cloud and one frustum for each registered photo.

    glTF has y up and cameras that look along -z. The node `model` turns the model's world upright, by the
    EXIF `orientations` of its photos; below it all coordinates are the model's. Each photo has a node of its
    name with a frustum of lines and a perspective camera, without distortion and eccentric principal point.
    """
    scene = trimesh.Scene()
    turn = np.eye(4)
    turn[:3, :3] = _Y_UP_FROM_Z_UP @ upright_from_world(model, orientations)
    scene.graph.update(frame_to=_MODEL, frame_from=scene.graph.base_frame, matrix=turn)
    if len(cloud.xyz):
        points = trimesh.PointCloud(cloud.xyz, colors=cloud.rgb)
        scene.add_geometry(points, geom_name="points", node_name="points", parent_node_name=_MODEL)
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: str(image.name))
    size = _frustum_depth(np.array([image.projection_center() for image in images]), cloud.xyz)
    for image in images:
        scene.add_geometry(
            _frustum(model.camera(image.camera_id), size),
            geom_name=image.name,
            node_name=image.name,
            parent_node_name=_MODEL,
            transform=_world_from_opengl_camera(image),
        )
    cameras = {image.name: model.camera(image.camera_id) for image in images}

    def add_cameras(tree: dict[str, Any]) -> None:
        tree["cameras"] = []
        for node in tree["nodes"]:
            if node["name"] in cameras:
                node["camera"] = len(tree["cameras"])
                tree["cameras"].append(_gltf_camera(node["name"], cameras[node["name"]], size))

    data = scene.export(file_type="glb", tree_postprocessor=add_cameras)
    path.write_bytes(data)


def _world_from_opengl_camera(image: pycolmap.Image) -> NDArray[np.float64]:
    world_from_cam = np.eye(4)
    world_from_cam[:3] = image.cam_from_world().inverse().matrix()
    return np.asarray(world_from_cam @ _OPENGL_FROM_OPENCV)


def _frustum_depth(centres: NDArray[np.float64], points: NDArray[np.float32]) -> float:
    """Small beside the steps between cameras and beside the scene, but not too small to be seen."""
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1) if len(centres) <= 2000 else None
    some = points[:: max(1, len(points) // 10_000)].astype(np.float64)
    everything = np.concatenate((centres, some))
    middle = np.median(everything, axis=0)
    radius = float(np.median(np.linalg.norm(everything - middle, axis=1)))
    if apart is None or len(centres) < 2:
        return 0.05 * radius or 1.0
    np.fill_diagonal(apart, np.inf)
    step = float(np.median(apart.min(axis=1)))
    return float(np.clip(0.4 * step, 0.02 * radius, 0.15 * radius)) or 1.0


def _frustum(camera: pycolmap.Camera, depth: float) -> trimesh.path.Path3D:
    """Edges of the view, and a roof at the photo's top side; in the camera's OpenGL frame."""
    x = (np.array([0, camera.width, camera.width, 0]) - camera.principal_point_x) / camera.focal_length_x
    y = (np.array([0, 0, camera.height, camera.height]) - camera.principal_point_y) / camera.focal_length_y
    corners = depth * np.stack((x, -y, -np.ones(4)), axis=1)
    roof = (corners[0] + corners[1]) / 2 + (corners[0] - corners[3]) * 0.25
    ring = [(corners[i], corners[(i + 1) % 4]) for i in range(4)]
    sides = [(np.zeros(3), corner) for corner in corners]
    segments: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]] = [
        *ring,
        *sides,
        (corners[0], roof),
        (corners[1], roof),
    ]
    path: trimesh.path.Path3D = trimesh.load_path(np.array(segments))
    path.colors = np.tile(np.array(_CAMERA_COLOUR, np.uint8), (len(path.entities), 1))
    return path


def _gltf_camera(name: str, camera: pycolmap.Camera, near: float) -> dict[str, object]:
    yfov = 2 * math.atan(camera.height / (2 * camera.focal_length_y))
    aspect = camera.width * camera.focal_length_y / (camera.height * camera.focal_length_x)
    perspective = {"yfov": yfov, "aspectRatio": aspect, "znear": near / 10}
    return {"name": name, "type": "perspective", "perspective": perspective}
