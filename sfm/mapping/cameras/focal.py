"""First guesses of unknown focal lengths, from the fundamental matrices of the view graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pycolmap

from sfm.files.scratch import scratch_folder

_MIN_NUM_INLIERS = 30  # pairs with fewer do not determine the focal length
_MIN_IMAGES = 3  # images of a camera that must agree, and half of all that have a value
_NEAR = 0.15


def estimate_focal_lengths(database: Path, *, seed: int) -> dict[int, float]:
    """Focal length in px of each camera that has no prior one and enough images; camera id to value.

    COLMAP's calibration of the view graph, given one shared camera, often ends in a wrong minimum. Given a
    camera per image, most images come out right: their median is taken.
    """
    with pycolmap.Database.open(database) as db:
        cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
        images = db.read_all_images()
        members: dict[int, list[int]] = {}
        for image in images:
            if not cameras[image.camera_id].has_prior_focal_length:
                members.setdefault(image.camera_id, []).append(image.image_id)
        members = {camera_id: ids for camera_id, ids in members.items() if len(ids) >= _MIN_IMAGES}
        if not members:
            return {}
        with scratch_folder() as folder:
            scratch = folder / "calibration.db"
            _camera_per_image(db, scratch, images, cameras)
            focal_of = _calibrated(scratch, seed)
    found = {c: _agreed([focal_of[i] for i in ids if i in focal_of]) for c, ids in sorted(members.items())}
    return {camera_id: focal for camera_id, focal in found.items() if focal is not None}


def _agreed(values: Sequence[float]) -> float | None:
    """The median, if enough images have a value near it; they scatter where all look at one point."""
    if not values:
        return None
    median = float(np.median(values))
    num_near = sum(abs(value / median - 1) < _NEAR for value in values)
    return median if num_near >= max(_MIN_IMAGES, len(values) / 2) else None


def _camera_per_image(
    db: pycolmap.Database,
    path: Path,
    images: Sequence[pycolmap.Image],
    cameras: Mapping[int, pycolmap.Camera],
) -> None:
    """Write the pairs of `db` to a new database in which each image has a camera with the id of the image."""
    with pycolmap.Database.open(path) as scratch:
        for image in images:
            camera = pycolmap.Camera(cameras[image.camera_id].todict())
            image_id = camera.camera_id = image.image_id
            scratch.write_camera(camera, use_camera_id=True)
            copied = pycolmap.Image(name=image.name, camera_id=image_id, image_id=image_id)
            scratch.write_image(copied, use_image_id=True)
        for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
            if geometry.F is not None and len(geometry.inlier_matches) >= _MIN_NUM_INLIERS:
                scratch.write_two_view_geometry(*pycolmap.pair_id_to_image_pair(pair_id), geometry)


def _calibrated(scratch: Path, seed: int) -> dict[int, float]:
    """Focal length of each image in px, of those whose value moved from the first guess."""
    options = pycolmap.ViewGraphCalibrationOptions()
    options.random_seed, options.reestimate_relative_pose = seed, False
    with pycolmap.Database.open(scratch) as db:
        before = {camera.camera_id: camera.mean_focal_length() for camera in db.read_all_cameras()}
    pycolmap.calibrate_view_graph(scratch, options)
    with pycolmap.Database.open(scratch) as db:
        after = {camera.camera_id: camera.mean_focal_length() for camera in db.read_all_cameras()}
    return {camera_id: focal for camera_id, focal in after.items() if focal != before[camera_id]}
