"""OUT as it stands before the first new photo is looked at: what is known of the old ones, and the models."""

import os
import shutil
from pathlib import Path

import numpy as np
import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.colmap.sqlite_files import open_read_only, replace_by_copy
from sfm.errors import InputError
from sfm.files.atomic import atomic_write_json
from sfm.untrusted.documents import read_cache
from sfm.workspace.workspace import Workspace

from .model import GivenModel

_EXTENDS = "extends.json"
_LINKED = ("thumbs", "converted", "tokens", "pairs")
"""Folders of the cache whose files are never changed in place: they may share their disk space."""
_COPIED = ("index", "images.json", "camera_splits.json", "overlays.json", "scene_graph.json")


def begin(given: GivenModel, space: Workspace, keys: StageKeys) -> None:
    """Fill an output from the model's workspace, unless an interrupted run of the same command did.

    `keys` are of the options now in force.

    Raises:
        InputError: the photos of a workspace were described or matched with other options.
    """
    marker, wanted = space.cache / _EXTENDS, {"model": given.key}
    if read_cache(marker, {"model": str}) == wanted:
        return
    if given.workspace and given.database is not None:
        _require_same_options(given, keys)
        _copy_cache(given.root / "cache", space.cache)
        with open_read_only(given.database) as db:
            replace_by_copy(db, space.database)
    else:
        space.database.unlink(missing_ok=True)
    atomic_write_json(marker, wanted)


def _require_same_options(given: GivenModel, keys: StageKeys) -> None:
    assert given.database is not None
    stored = FeatureDatabase(given.database, read_only=True).stage_keys()
    words = {
        "features": "described with other options, or by another matcher",
        "matches": "matched with other options",
        "geometries": "verified with other options, or another seed",
    }
    for stage, what in words.items():
        if stored.get(stage) != getattr(keys, stage):
            raise InputError(
                f"the photos of {given.root} were {what} than those given now",
                hint=f"leave the options out: those in {given.root / 'run.json'} are used",
            )


def _copy_cache(source: Path, target: Path) -> None:
    for name in _LINKED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, copy_function=_link, dirs_exist_ok=True)
    for name in _COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        elif (source / name).is_file():
            shutil.copy2(source / name, target / name)


def _link(source: str, target: str) -> None:
    if os.path.exists(target):
        return
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, target)


def models_in_database(
    models: tuple[pycolmap.Reconstruction, ...], database: FeatureDatabase
) -> list[pycolmap.Reconstruction]:
    """The models with the image ids of a database, each with a trivial rig a camera.

    Raises:
        InputError: the database has not the keypoints of a photo that the model has, as when the photo was
            replaced by another one.
    """
    ids, positions = database.image_ids(), database.keypoint_positions()
    for model in models:
        for image_id in model.reg_image_ids():
            _require_keypoints(model.image(image_id), positions.get(model.image(image_id).name))
    return [model if _fits(model, ids) else _renumbered(model, ids) for model in models]


def _require_keypoints(image: pycolmap.Image, xy: np.ndarray | None) -> None:
    known = np.array([point.xy for point in image.get_observation_points2D()]).reshape(-1, 2)
    at = image.get_observation_point2D_idxs()
    found = xy is not None and len(xy) >= image.num_points2D()
    if not found or (at and np.abs(xy[at] - known).max() > 0.01):  # type: ignore[index]
        raise InputError(
            f"{image.name} has changed since the model was made: its keypoints are others",
            hint="put the earlier photo back, or run `sfm run` again on all photos",
        )


def _fits(model: pycolmap.Reconstruction, ids: dict[str, int]) -> bool:
    trivial = all(
        frame.frame_id == frame_id and frame.rig_id in model.cameras and len(frame.data_ids) == 1
        for frame_id, frame in model.frames.items()
    )
    images = (model.image(i) for i in model.reg_image_ids())
    return trivial and all(image.image_id == image.frame_id == ids[image.name] for image in images)


def _renumbered(model: pycolmap.Reconstruction, ids: dict[str, int]) -> pycolmap.Reconstruction:
    copy = pycolmap.Reconstruction()
    images = [model.image(i) for i in sorted(model.reg_image_ids())]
    for camera_id in sorted({image.camera_id for image in images}):
        copy.add_camera_with_trivial_rig(pycolmap.Camera(model.camera(camera_id).todict()))
    for image in images:
        xy = np.array([point.xy for point in image.points2D]).reshape(-1, 2)
        new = pycolmap.Image(image.name, xy, image.camera_id, ids[image.name])
        copy.add_image_with_trivial_frame(new, image.cam_from_world())
    new_id = {image.image_id: ids[image.name] for image in images}
    for point_id in sorted(model.point3D_ids()):
        point = model.point3D(point_id)
        elements = [
            pycolmap.TrackElement(new_id[e.image_id], e.point2D_idx)
            for e in point.track.elements
            if e.image_id in new_id
        ]
        if elements:
            copy.add_point3D(point.xyz, pycolmap.Track(elements), point.color)
    copy.update_point_3d_errors()
    return copy
