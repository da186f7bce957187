"""Known poses, from an existing model: registration starts from them, or keeps them fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.model_files import read_models
from sfm.config.schema import RegisterConfig
from sfm.errors import ConfigError, InputError
from sfm.files.scratch import scratch_folder
from sfm.mapping import ExistingModels
from sfm.types import CameraSpec, Collection
from sfm.workspace.workspace import content_key

_MIN_POSES = 2
"""An alignment has a scale of its own, so that one pose suffices there."""
_FOCAL_SPREAD = 1.01
"""Photos that share a camera here may have cameras of their own in the model when these are alike."""
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class KnownPoses:
    """A model of which only poses and intrinsics count."""

    path: Path
    model: pycolmap.Reconstruction
    fixed: bool
    """Whether poses and intrinsics stay as they are; else they are where registration starts from."""
    least: int = _MIN_POSES
    """Photos with a pose that are needed."""

    @property
    def images(self) -> Mapping[str, pycolmap.Image]:
        """Photos with a pose, by name."""
        images = (self.model.image(image_id) for image_id in self.model.reg_image_ids())
        return {image.name: image for image in images}

    @property
    def one_lens(self) -> bool:
        """Whether all its photos of one size have the same intrinsics."""
        cameras = self.model.cameras.values()
        lenses = {(one.width, one.height, one.model.name, *one.params) for one in cameras}
        return len(lenses) == len({lens[:2] for lens in lenses})

    @property
    def key(self) -> str:
        """Of poses and intrinsics, and of how they may change."""
        poses = [(name, image.cam_from_world().matrix().tobytes().hex()) for name, image in self._sorted()]
        cameras = [
            (camera_id, camera.model.name, list(camera.params))
            for camera_id, camera in sorted(self.model.cameras.items())
        ]
        return content_key("poses", _VERSION, self.fixed, poses, cameras)

    def _sorted(self) -> list[tuple[str, pycolmap.Image]]:
        return sorted(self.images.items())


def read_known_poses(config: RegisterConfig) -> KnownPoses | None:
    """The largest model of the folder that `register.poses` names; None where it names none.

    Raises:
        InputError: there is no model there, or a damaged one; names the file.
        ConfigError: a mapper that cannot start from poses.
    """
    if config.poses is None:
        return None
    if config.mapper not in ("graph", "alignment"):
        raise ConfigError(
            f"register.mapper={config.mapper} cannot start from register.poses",
            hint="use graph, or alignment with backend mast3r",
        )
    models = read_models(Path(config.poses))
    largest = max(models, key=lambda model: model.num_reg_images())
    fixed = config.poses_use == "fixed"
    least = 1 if fixed and config.mapper == "alignment" else _MIN_POSES
    return KnownPoses(Path(config.poses), largest, fixed, least)


def with_known_cameras(collection: Collection, poses: KnownPoses) -> Collection:
    """The collection with the intrinsics of the model for cameras that took photos of it.

    Raises:
        InputError: the model has fewer of the photos than are needed, other photos of the same name, or
            several cameras where the photos share one. Also for photos of rigs.
    """
    if collection.rigs:
        raise InputError("images.rig_config and register.poses cannot be used together")
    found = [photo for photo in collection.photos if photo.name in poses.images]
    if len(found) < poses.least:
        are = "is" if poses.least == 1 else "are"
        raise InputError(
            f"register.poses: {poses.path} has poses of {len(found)} of the photos; "
            f"{poses.least} {are} needed",
            hint="photos are told by name, relative to the photo folder",
        )
    cameras = dict(collection.cameras)
    for camera_id in sorted({photo.camera_id for photo in found}):
        names = [photo.name for photo in found if photo.camera_id == camera_id]
        cameras[camera_id] = _given_camera(collection.cameras[camera_id], names, poses)
    return replace(collection, cameras=cameras)


def _given_camera(spec: CameraSpec, names: Sequence[str], poses: KnownPoses) -> CameraSpec:
    cameras = [poses.model.camera(poses.images[name].camera_id) for name in names]
    for name, camera in zip(names, cameras, strict=True):
        if (camera.width, camera.height) != (spec.width, spec.height):
            raise InputError(
                f"register.poses: {name} has {spec.width} x {spec.height} px, in {poses.path} "
                f"{camera.width} x {camera.height} px",
                hint="poses and intrinsics belong to photos of the same size",
            )
    focals = [camera.mean_focal_length() for camera in cameras]
    if len({camera.model.name for camera in cameras}) > 1 or max(focals) > _FOCAL_SPREAD * min(focals):
        raise InputError(
            f"register.poses: {poses.path} has different cameras for photos that share one here, "
            f"such as {names[0]}",
            hint="images.camera_sharing=per_image gives each photo a camera of its own",
        )
    params = tuple(float(value) for value in cameras[0].params)
    return replace(
        spec, model=cameras[0].model.name, params=params, has_prior_focal_length=True, fixed=poses.fixed
    )


def triangulated(
    poses: KnownPoses, collection: Collection, database: FeatureDatabase, *, threads: int, seed: int
) -> ExistingModels:
    """The photos at their poses with the points that their verified matches give (COLMAP's triangulator).

    Args:
        poses: of some of the photos.
        collection: with the cameras of the poses.
        database: with verified pairs.
        threads: to use.
        seed: of triangulation.
    """
    base = pycolmap.Reconstruction()
    ids, keypoints = database.image_ids(), database.keypoint_positions()
    with pycolmap.Database.open(database.path) as db:
        cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
    for photo in collection.photos:
        if photo.name not in poses.images:
            continue
        if not base.exists_camera(photo.camera_id):
            base.add_camera_with_trivial_rig(cameras[photo.camera_id])
        xy = keypoints.get(photo.name, np.zeros((0, 2)))
        image = pycolmap.Image(photo.name, xy.astype(np.float64), photo.camera_id, ids[photo.name])
        base.add_image_with_trivial_frame(image, poses.images[photo.name].cam_from_world())
    if base.num_reg_images() < _MIN_POSES:
        return ExistingModels((base,), frozen=poses.fixed)
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors, options.num_threads = False, threads
    options.random_seed = options.triangulation.random_seed = seed
    with scratch_folder() as folder:
        model = pycolmap.triangulate_points(
            base, database.path, collection.photos[0].path.parent, folder, options=options
        )
    for image_id in model.reg_image_ids():  # adjustment normalises quaternions, of constant poses too
        image = model.image(image_id)
        model.frame(image.frame_id).rig_from_world = poses.images[image.name].cam_from_world()
    return ExistingModels((model,), frozen=poses.fixed)


def in_frame_of(
    models: Sequence[pycolmap.Reconstruction], poses: KnownPoses
) -> tuple[pycolmap.Reconstruction, ...]:
    """The models, each moved in place to where its photos with given poses stood, if it has two of them."""
    # Here, since it brings torch, which nothing else in a run with SIFT needs.
    from sfm.geometry.similarity import fit_cameras

    for model in models:
        pairs = [
            (model.image(i), poses.images[model.image(i).name])
            for i in sorted(model.reg_image_ids())
            if model.image(i).name in poses.images
        ]
        if len(pairs) < _MIN_POSES:
            continue
        centres = [np.array([pair[k].projection_center() for pair in pairs]) for k in (0, 1)]
        turns = [np.array([pair[k].cam_from_world().rotation.matrix() for pair in pairs]) for k in (0, 1)]
        fit = fit_cameras(*centres, *turns)
        if fit is not None:
            model.transform(fit.sim3)
    return tuple(models)
