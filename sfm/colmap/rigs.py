"""Rigs in COLMAP's database, and a rig's geometry from a model without rigs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap

from sfm.types import Rig, RigSensor


def write_rigs(database: Path, rigs: Sequence[Rig]) -> None:
    """Give the photos of rigs, whose cameras have poses, common frames; others keep a frame and rig of their
    own.

    In `database` each camera is its own rig and each photo its own frame.
    """
    with pycolmap.Database.open(database) as db:
        pycolmap.apply_rig_config([_config(rig) for rig in rigs], db)


def derive_rigs(
    database: Path, rigs: Sequence[Rig], model: pycolmap.Reconstruction
) -> tuple[Rig, ...] | None:
    """The rigs with the poses of their cameras, as a model whose photos stand alone has them.

    The photos of rigs get common frames, in the database and in the model, which is changed in place. Poses
    that the user gave are kept.

    Returns:
        None, with database and model unchanged, when no frame of the model shows a camera's pose.
    """
    if not all(_is_seen(rig, model) for rig in rigs):
        return None
    configs = [_config(rig) for rig in rigs]
    with pycolmap.Database.open(database) as db:
        pycolmap.apply_rig_config(configs, db, model)
        sensors = {camera_id: pose for rig in db.read_all_rigs() for camera_id, pose in _poses(rig)}
        camera_of = {image.name: image.camera_id for image in db.read_all_images()}
    return tuple(Rig(tuple(_with_pose(sensor, camera_of, sensors) for sensor in rig.sensors)) for rig in rigs)


def metres_per_unit(rigs: Sequence[Rig], model: pycolmap.Reconstruction) -> float | None:
    """What makes the distances between a rig's cameras those that the user gave: the median of the ratios.

    None where the model has no rig of two cameras that are known to stand apart.
    """
    camera_of = {model.image(i).name: model.image(i).camera_id for i in model.reg_image_ids()}
    poses = {camera_id: pose for rig in model.rigs.values() for camera_id, pose in _poses(rig)}
    ratios = []
    for sensor in (sensor for rig in rigs for sensor in rig.sensors):
        cameras = {camera_of[name] for name in camera_of if name.startswith(sensor.prefix)}
        if sensor.translation is None or len(cameras & poses.keys()) != 1:
            continue
        there = float(np.linalg.norm(poses[cameras.pop()].translation))
        given = float(np.linalg.norm(sensor.translation))
        if there > 0 and given > 0:
            ratios.append(given / there)
    return float(np.median(ratios)) if ratios else None


def _is_seen(rig: Rig, model: pycolmap.Reconstruction) -> bool:
    names = {model.image(image_id).name for image_id in model.reg_image_ids()}
    reference = next(sensor.prefix for sensor in rig.sensors if sensor.is_reference)
    return all(
        any(
            name.startswith(sensor.prefix) and reference + name.removeprefix(sensor.prefix) in names
            for name in names
        )
        for sensor in rig.sensors
        if not sensor.has_pose
    )


def _poses(rig: pycolmap.Rig) -> list[tuple[int, pycolmap.Rigid3d]]:
    return [(sensor.id, pose) for sensor, pose in rig.non_ref_sensors.items() if pose is not None]


def _with_pose(sensor: RigSensor, camera_of: dict[str, int], poses: dict[int, pycolmap.Rigid3d]) -> RigSensor:
    camera_id = next(camera_of[name] for name in sorted(camera_of) if name.startswith(sensor.prefix))
    pose = poses.get(camera_id)
    if sensor.is_reference or pose is None:
        return sensor
    x, y, z, w = pose.rotation.quat.tolist()
    return RigSensor(sensor.prefix, False, (w, x, y, z), tuple(pose.translation.tolist()))


def _config(rig: Rig) -> pycolmap.RigConfig:
    config = pycolmap.RigConfig()
    config.cameras = [_config_camera(sensor) for sensor in rig.sensors]
    return config


def _config_camera(sensor: RigSensor) -> pycolmap.RigConfigCamera:
    camera = pycolmap.RigConfigCamera()
    camera.image_prefix, camera.ref_sensor = sensor.prefix, sensor.is_reference
    if sensor.rotation is not None and sensor.translation is not None:
        w, x, y, z = sensor.rotation
        rotation = pycolmap.Rotation3d(np.array([x, y, z, w]))
        camera.cam_from_rig = pycolmap.Rigid3d(rotation, np.array(sensor.translation))
    return camera
