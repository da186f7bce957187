"""A scene for any 3D viewer: a coloured cloud or textured surfaces, and the cameras, as binary glTF 2.0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import trimesh
from numpy.typing import NDArray
from PIL import Image

from sfm.exports.dense_cloud import Cloud
from sfm.exports.mesh import Surface
from sfm.exports.source import Frame, SceneOptions
from sfm.exports.view_maps import Grid
from sfm.geometry.gravity import upright_axes, upright_from_world

_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_CAMERA_COLOUR = (40, 110, 210, 255)
_MODEL = "model"
_PICTURE_PX = 512
"""Longer side of photos on the planes of cameras."""
_UNLIT = "KHR_materials_unlit"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Photos for the image planes of cameras."""

    grids: Mapping[str, Grid]
    """Where their pixels lie in the stored photo, by name."""
    colours: Callable[[str], NDArray[np.uint8]]
    """(H, W, 3) of a photo."""


def write_glb(
    model: pycolmap.Reconstruction,
    cloud: Cloud,
    orientations: Mapping[str, int],
    path: Path,
    *,
    options: SceneOptions | None = None,
    surfaces: Sequence[Surface] = (),
    pictures: Pictures | None = None,
) -> None:
    """Write the cloud, or the surfaces in its place, and a camera for each registered photo.

    glTF has y up and cameras that look along -z. The node `model` turns the model's world upright, by the
    EXIF `orientations` of its photos, or to the first camera; below it all coordinates are the model's. Each
    photo has a node of its name with a frustum of lines and a perspective camera, without distortion and
    eccentric principal point, and a node `photo of NAME` with the photo on its image plane.

    Photos that `pictures` lacks have plain cameras.
    """
    options = options or SceneOptions()
    scene = trimesh.Scene()
    turn = _turned(model, orientations, options.frame)
    scene.graph.update(frame_to=_MODEL, frame_from=scene.graph.base_frame, matrix=turn)
    _add_shapes(scene, cloud, surfaces)
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: str(image.name))
    fitting = _frustum_depth(np.array([image.projection_center() for image in images]), cloud.xyz)
    size = fitting if options.camera_size is None else options.camera_size
    for image in images:
        camera, place = model.camera(image.camera_id), _world_from_opengl_camera(image)
        if size == 0:
            scene.graph.update(frame_to=image.name, frame_from=_MODEL, matrix=place)
            continue
        scene.add_geometry(
            _frustum(camera, size),
            geom_name=image.name,
            node_name=image.name,
            parent_node_name=_MODEL,
            transform=place,
        )
        if options.photos and pictures is not None and image.name in pictures.grids:
            name = f"photo of {image.name}"
            plane = _plane(camera, size, pictures.grids[image.name], pictures.colours(image.name))
            scene.add_geometry(
                plane, geom_name=name, node_name=name, parent_node_name=_MODEL, transform=place
            )
    cameras = {image.name: model.camera(image.camera_id) for image in images}

    def complete(tree: dict[str, Any]) -> None:
        _make_unlit(tree)
        tree["cameras"] = []
        for node in tree["nodes"]:
            if node["name"] in cameras:
                node["camera"] = len(tree["cameras"])
                tree["cameras"].append(_gltf_camera(node["name"], cameras[node["name"]], size or fitting))

    data = scene.export(file_type="glb", tree_postprocessor=complete)
    path.write_bytes(data)


def _turned(
    model: pycolmap.Reconstruction, orientations: Mapping[str, int], frame: Frame
) -> NDArray[np.float64]:
    """(4, 4) from the model's world to that of glTF."""
    turn = np.eye(4)
    images = [model.image(i) for i in model.reg_image_ids()]
    if frame == "first-camera" and images:
        first = min(images, key=lambda image: str(image.name))
        axes = upright_axes(first, orientations.get(first.name, 1))
        if np.linalg.det(axes) < 0:  # a mirrored photo
            axes[0] *= -1
        turn[:3, :3], turn[:3, 3] = axes, -axes @ first.projection_center()
    else:
        turn[:3, :3] = _Y_UP_FROM_Z_UP @ upright_from_world(model, orientations)
    return turn


def _add_shapes(scene: trimesh.Scene, cloud: Cloud, surfaces: Sequence[Surface]) -> None:
    for number, surface in enumerate(surfaces):
        # trimesh counts textures from the lower left corner.
        where = surface.where * (1, -1) + (0, 1)
        mesh = trimesh.Trimesh(
            surface.corners,
            surface.triangles,
            visual=_textured(where, Image.fromarray(surface.texture)),
            process=False,
        )
        name = f"surface {number} of {surface.name}"
        scene.add_geometry(mesh, geom_name=name, node_name=name, parent_node_name=_MODEL)
    if len(cloud.xyz) and not surfaces:
        points = trimesh.PointCloud(cloud.xyz, colors=cloud.rgb)
        scene.add_geometry(points, geom_name="points", node_name="points", parent_node_name=_MODEL)


def _textured(where: NDArray[np.floating], picture: Image.Image) -> trimesh.visual.TextureVisuals:
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=picture, metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
    )
    return trimesh.visual.TextureVisuals(uv=where, material=material)


def _make_unlit(tree: dict[str, Any]) -> None:
    """Show photos as they are: they hold the light of the scene already."""
    for material in tree.get("materials", []):
        material.setdefault("extensions", {})[_UNLIT] = {}
    if tree.get("materials"):
        tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", []), _UNLIT})


def _plane(camera: pycolmap.Camera, depth: float, grid: Grid, pixels: NDArray[np.uint8]) -> trimesh.Trimesh:
    """A photo on the image plane; in the camera's OpenGL frame."""
    (sx, sy), (left, top), (width, height) = grid.scale, grid.offset, grid.size
    across = np.array([left, left + sx * width]) - camera.principal_point_x
    down = np.array([top, top + sy * height]) - camera.principal_point_y
    x, y = across / camera.focal_length_x, down / camera.focal_length_y
    corners = [(x[0], -y[1], -1), (x[1], -y[1], -1), (x[1], -y[0], -1), (x[0], -y[0], -1)]
    where = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    picture = Image.fromarray(pixels)
    picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
    picture.format = "JPEG"  # which trimesh then writes: a tenth of the size of a PNG
    return trimesh.Trimesh(
        depth * np.array(corners),
        [(0, 1, 2), (0, 2, 3)],
        visual=_textured(where, picture),
        process=False,
    )


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
