"""Export for nerfstudio and other readers of `transforms.json`."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap

from sfm.errors import InputError
from sfm.exports.models import write_points_ply
from sfm.exports.names import flat_names
from sfm.exports.source import Source
from sfm.exports.undistortion import check_photo, require_photos, undistort
from sfm.geometry.gravity import level_of
from sfm.georeferencing.georeference import GEOREFERENCE_FILE
from sfm.ingest.discover import PHOTO_SUFFIXES
from sfm.untrusted.documents import read_json
from sfm.untrusted.names import path_below

# Names of nerfstudio's parameters, in the order of COLMAP's after fx fy cx cy (or f cx cy).
_PERSPECTIVE = {
    "SIMPLE_PINHOLE": (),
    "PINHOLE": (),
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
}
_FISHEYE = {
    "SIMPLE_FISHEYE": (),
    "FISHEYE": (),
    "SIMPLE_RADIAL_FISHEYE": ("k1",),
    "RADIAL_FISHEYE": ("k1", "k2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}
_DISTORTION = {"OPENCV": ("k1", "k2", "p1", "p2"), "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4")}

_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
# COLMAP's worlds mostly have y down; nerfstudio's have z up. The same change as `ns-process-data` makes.
_Z_UP_FROM_Y_DOWN = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
_Z_UP_FRAMES = ("enu", "positions", "upright")
_LEAST_Z_UP = np.cos(np.radians(20.0))


def write_nerfstudio(source: Source, folder: Path) -> Mapping[str, str]:
    """Write `transforms.json`, `images/`, `sparse_pc.ply`, and `depths/` where depth is wanted.

    The photos are the original files when all cameras fit nerfstudio's OPENCV or OPENCV_FISHEYE model (one
    of them for all), and undistorted otherwise. `transform_matrix` is world_from_cam with OpenGL camera axes
    (x right, y up, z back). `applied_transform` turns the model's world and points to have z up, unless it
    has. Intrinsics stand with each frame, and once for all frames where these share them: readers look in the
    one place or the other. Depth maps are 16-bit PNGs of the photos' size in steps of
    `depth_unit_scale_factor`, 0 where unknown.

    Returns:
        The exported file's name by image name.

    Raises:
        InputError: a photo is missing or has changed since the run.
        WeightsError, MissingDependencyError, ReconstructionError: see `depth_of_model`.
    """
    model, image_root = source.model, source.images
    images = folder / "images"
    images.mkdir(parents=True)
    names = flat_names(model.image(image_id).name for image_id in model.reg_image_ids())
    camera_model = _common_model(model)
    if camera_model is None:
        camera_model, model = "OPENCV", undistort(model, image_root, names, images, source.threads)
        file_names = {name: name for name in names.values()}
    else:
        file_names = _copy_photos(model, image_root, names, images)
    applied = np.eye(4) if _has_z_up(source) else _Z_UP_FROM_Y_DOWN
    frames = _frames(model, file_names, camera_model, applied)
    scene = {
        "camera_model": camera_model,
        **_common_intrinsics(model, camera_model),
        "applied_transform": applied[:3].tolist(),
        "ply_file_path": "sparse_pc.ply",
        **_depths(source, model, frames, folder),
        "frames": frames,
    }
    (folder / "transforms.json").write_text(json.dumps(scene, indent=1) + "\n", encoding="utf-8")
    _write_points(model, folder / "sparse_pc.ply", applied)
    return names


def _has_z_up(source: Source) -> bool:
    """Whether the model stands upright: by its georeference, else by its photos."""
    file = source.root / "sparse" / str(source.index) / GEOREFERENCE_FILE
    try:
        place = read_json(file)
    except InputError:
        place = None
    if isinstance(place, dict) and place.get("frame") in _Z_UP_FRAMES:
        return True
    level = level_of(source.model, {})
    return level is not None and bool(level.up[2] > _LEAST_Z_UP)


def _common_intrinsics(model: pycolmap.Reconstruction, camera_model: str) -> dict[str, object]:
    used = {model.image(image_id).camera_id for image_id in model.reg_image_ids()}
    first, *others = [_intrinsics(model.camera(camera_id), camera_model) for camera_id in sorted(used)]
    return first if all(other == first for other in others) else {}


def _common_model(model: pycolmap.Reconstruction) -> str | None:
    used = {model.image(image_id).camera_id for image_id in model.reg_image_ids()}
    kinds = {model.camera(camera_id).model_name for camera_id in used}
    if kinds <= _PERSPECTIVE.keys():
        return "OPENCV"
    return "OPENCV_FISHEYE" if kinds <= _FISHEYE.keys() else None


def _copy_photos(
    model: pycolmap.Reconstruction, image_root: Path, names: Mapping[str, str], images: Path
) -> dict[str, str]:
    """Copy the originals under their flat names, keeping each file's format, hence its extension."""
    require_photos(model, image_root)
    copied: dict[str, str] = {}
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        source = path_below(image_root, image.name)
        check_photo(source, model.camera(image.camera_id))
        suffix = source.suffix.lower()
        copied[image.name] = Path(names[image.name]).stem + (suffix if suffix in PHOTO_SUFFIXES else "")
        shutil.copyfile(source, images / copied[image.name])
    return copied


def _frames(
    model: pycolmap.Reconstruction, file_names: Mapping[str, str], camera_model: str, applied: np.ndarray
) -> list[dict[str, object]]:
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: str(image.name))
    return [
        {
            "file_path": f"images/{file_names[image.name]}",
            "colmap_im_id": image.image_id,
            "camera_model": camera_model,
            **_intrinsics(model.camera(image.camera_id), camera_model),
            "transform_matrix": (applied @ _world_from_camera(image)).tolist(),
        }
        for image in images
    ]


def _depths(
    source: Source, model: pycolmap.Reconstruction, frames: list[dict[str, object]], folder: Path
) -> dict[str, object]:
    """Write depth maps where they are wanted, and name them in `frames`; returns the key with their unit."""
    if source.depth is None:
        return {}
    from sfm.exports.depth_images import write_depth_images

    files: dict[int, Path] = {}
    for frame in frames:
        frame["depth_file_path"] = f"depths/{Path(str(frame['file_path'])).stem}.png"
        files[int(str(frame["colmap_im_id"]))] = folder / str(frame["depth_file_path"])
    (folder / "depths").mkdir()
    unit = write_depth_images(source, model, files)
    return {"depth_unit_scale_factor": unit}


def _intrinsics(camera: pycolmap.Camera, camera_model: str) -> dict[str, object]:
    """A camera in nerfstudio's terms, which has its pixel centres at 0.5 as COLMAP does.

    instant-ngp recognises a fisheye by `is_fisheye`, not by `camera_model`.
    """
    keys = (_PERSPECTIVE | _FISHEYE)[camera.model_name]
    extra = dict(zip(keys, camera.params[camera.extra_params_idxs()].tolist(), strict=True))
    return {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal_length_x,
        "fl_y": camera.focal_length_y,
        "cx": camera.principal_point_x,
        "cy": camera.principal_point_y,
        **{key: extra.get(key, 0.0) for key in _DISTORTION[camera_model]},
        **({"is_fisheye": True} if camera_model == "OPENCV_FISHEYE" else {}),
    }


def _world_from_camera(image: pycolmap.Image) -> np.ndarray:
    world_from_cam = np.eye(4)
    world_from_cam[:3] = image.cam_from_world().inverse().matrix()
    return world_from_cam @ _OPENGL_FROM_OPENCV


def _write_points(model: pycolmap.Reconstruction, path: Path, applied: np.ndarray) -> None:
    turned = copy.deepcopy(model)
    turned.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(applied[:3, :3]), np.zeros(3)))
    write_points_ply([turned], path)
