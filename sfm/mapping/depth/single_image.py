"""The model of one image alone, whose points come from depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap

from sfm.types import CameraSpec

from ..scene.depth_source import DepthSource
from ..scene.pose_source import PosedImage

_CONFIDENT = 1.5
"""Of depth, which starts at 1; less confident points are left out unless nothing else is there."""
_GREY = np.full(3, 128, np.uint8)


def model_of_one_image(
    name: str,
    image_id: int,
    spec: CameraSpec,
    posed: PosedImage,
    depth: DepthSource,
    xy: npt.NDArray[np.float64],
) -> pycolmap.Reconstruction | None:
    """A model of one image at its pose, each point with its one observation; None without any depth.

    Args:
        name: of the image.
        image_id: of the database.
        spec: its camera; a fixed one keeps its intrinsics, any other gets those of `posed`.
        posed: pose and intrinsics.
        depth: knows the image.
        xy: (N, 2) px, the image's keypoints, where points are wanted.
    """
    camera = pycolmap.Camera(
        camera_id=spec.camera_id,
        model=spec.model,
        width=spec.width,
        height=spec.height,
        params=_params(spec, posed),
    )
    camera.has_prior_focal_length = spec.has_prior_focal_length
    found = depth.at(name, xy)
    if found is None:
        return None
    far, certain = found
    rays = np.column_stack((np.asarray(camera.cam_from_img(xy), np.float64), np.ones(len(xy))))
    known = np.isfinite(far) & (far > 0) & np.isfinite(rays).all(axis=1)
    confident = known & (certain >= _CONFIDENT)
    chosen = confident if confident.any() else known
    if not chosen.any():
        return None
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    image = pycolmap.Image(name, xy, spec.camera_id, image_id)
    model.add_image_with_trivial_frame(image, posed.cam_from_world)
    world_from_cam = posed.cam_from_world.inverse()
    for index in np.flatnonzero(chosen):
        track = pycolmap.Track([pycolmap.TrackElement(image_id, int(index))])
        model.add_point3D(world_from_cam * (rays[index] * far[index]), track, _GREY)
    model.update_point_3d_errors()
    return model


def _params(spec: CameraSpec, posed: PosedImage) -> list[float]:
    params = list(spec.params)
    if spec.fixed:
        return params
    camera = pycolmap.Camera(model=spec.model, width=spec.width, height=spec.height, params=params)
    focals = list(camera.focal_length_idxs())
    for axis, index in enumerate(focals):
        params[index] = posed.focal_px[axis] if len(focals) > 1 else float(np.mean(posed.focal_px))
    for axis, index in enumerate(camera.principal_point_idxs()):
        params[index] = posed.principal_point[axis]
    return params
