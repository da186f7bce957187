"""Points and cameras of a model, small enough to travel inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.geometry.gravity import upright_from_world

HALF_EXTENT = 8.0
"""Half side of the cube that positions are quantised in, in radii of the model."""

_FAR = 1e100
"""Coordinates beyond, which a foreign model may have, would overflow when squared."""

_COLOURLESS = 200  # grey


_SPHERICAL = np.array([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
"""Corners drawn for a camera that sees all around and has none."""


@dataclass(frozen=True, slots=True)
class SceneModel:
    """A model turned upright, moved to the origin and scaled to radius 1."""

    positions: NDArray[np.uint16]
    """(N, 3): 0 is -HALF_EXTENT, 65535 is +HALF_EXTENT."""
    colours: NDArray[np.uint8]
    """(N, 3) red, green, blue."""
    num_points: int
    """Points of the whole model, before thinning."""
    names: tuple[str, ...]
    """Image name of each camera."""
    centres: NDArray[np.float64]
    """(M, 3)."""
    corners: NDArray[np.float64]
    """(M, 4, 3): from the centre to the image corners at depth 1, clockwise from the upper left."""

    def packed(self, photo_ids: Mapping[str, int]) -> dict[str, object]:
        """As JSON values for the page's viewer; a camera refers to its photo by number."""
        return {
            "positions": base64.b64encode(self.positions.astype("<u2").tobytes()).decode(),
            "colours": base64.b64encode(self.colours.tobytes()).decode(),
            "count": len(self.positions),
            "total": self.num_points,
            "extent": HALF_EXTENT,
            "photos": [photo_ids.get(name, -1) for name in self.names],
            "centres": self.centres.round(4).ravel().tolist(),
            "corners": self.corners.round(4).ravel().tolist(),
        }


def scene_model(
    model: pycolmap.Reconstruction,
    orientations: Mapping[str, int],
    *,
    max_points: int,
    is_upright: bool = False,
) -> SceneModel:
    """Thin, turn and scale a model for display.

    Args:
        orientations: EXIF orientation by image name.
        max_points: a random subset of this many points is kept, the same each time.
        is_upright: whether +z is up in the model already.
    """
    turn = np.eye(3) if is_upright else upright_from_world(model, orientations)
    xyz, rgb = _points(model)
    names, centres, corners = _cameras(model)
    xyz, centres, corners = (
        np.clip(np.nan_to_num(at), -_FAR, _FAR) @ turn.T for at in (xyz, centres, corners)
    )
    middle, radius = _middle_and_radius(np.concatenate((xyz, centres)))
    xyz, centres = (xyz - middle) / radius, (centres - middle) / radius
    near = np.flatnonzero((abs(xyz) < HALF_EXTENT).all(axis=1))
    if len(near) > max_points:
        near = np.sort(np.random.default_rng(0).choice(near, max_points, replace=False))
    quantised = np.rint((xyz[near] / HALF_EXTENT + 1) * 32767.5).astype(np.uint16)
    return SceneModel(quantised, rgb[near], len(xyz), names, centres, corners)


def _points(model: pycolmap.Reconstruction) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    points = list(model.points3D.values())
    xyz = np.array([point.xyz for point in points], dtype=np.float64).reshape(-1, 3)
    rgb = np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3)
    # Without photos all are black, which nobody sees on the dark ground.
    return xyz, rgb if rgb.any() else np.full_like(rgb, _COLOURLESS)


def _cameras(
    model: pycolmap.Reconstruction,
) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float64]]:
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: str(image.name))
    centres = np.array([image.projection_center() for image in images]).reshape(-1, 3)
    corners = [
        _corners(model.camera(image.camera_id)) @ image.cam_from_world().rotation.matrix() for image in images
    ]
    return tuple(image.name for image in images), centres, np.array(corners).reshape(-1, 4, 3)


def _corners(camera: pycolmap.Camera) -> NDArray[np.float64]:
    if camera.is_spherical():
        return _SPHERICAL
    x = np.array([0, camera.width, camera.width, 0]) - camera.principal_point_x
    y = np.array([0, 0, camera.height, camera.height]) - camera.principal_point_y
    return np.stack((x / camera.focal_length_x, y / camera.focal_length_y, np.ones(4)), axis=1)


def _middle_and_radius(xyz: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    if not len(xyz):
        return np.zeros(3), 1.0
    middle = np.median(xyz, axis=0)
    radius = float(np.quantile(np.linalg.norm(xyz - middle, axis=1), 0.9))
    return middle, radius or 1.0
