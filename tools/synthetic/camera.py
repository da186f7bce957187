"""The cameras that take the pictures, with pixel centres at 0.5, and their poses."""

from dataclasses import dataclass, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from .quads import Array

Float32 = NDArray[np.float32]

_MAX_ANGLE = np.radians(88.0)
"""Of a ray from the axis: those further out are seen nowhere in (x, y, 1)."""

_SHAKES = 3
"""Waves that a photo's shake is made of, the fastest with so many periods from its first row to its last."""


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera of any model of COLMAP; the rim of a fisheye, at 176 degrees, is drawn out."""

    width: int
    height: int
    model: str
    """COLMAP's name of the camera model."""
    params: tuple[float, ...]
    """In COLMAP's order and units."""
    shake_px: float = 0.0
    """Root mean square, px in x and in y, of how far motion during the exposure shifts the rows."""
    shake_seed: int = 0

    @property
    def focal_px(self) -> float:
        """Focal length, of two the first, px."""
        return self.params[0]

    def shifted(self, x_px: float, y_px: float) -> "Lens":
        """With its principal point moved."""
        params = np.array(self.params)
        params[self._centre] += x_px, y_px
        return replace(self, params=tuple(params.tolist()))

    def stretch(self, x: Float32, y: Float32) -> Float32:
        """How much wider a pixel's cone about the direction (x, y, 1) is than a perspective camera's."""
        if "FISHEYE" not in self.model:
            return np.ones_like(x)
        # Its pixels cover equal angles, those of a perspective camera smaller ones off the axis.
        return np.asarray((1 + x * x + y * y) ** 0.75, np.float32)

    def rays(self, supersample: int = 1) -> tuple[Array, Array]:
        """x and y of the direction (x, y, 1) through each (sub)pixel centre, both (rows, columns)."""
        camera = pycolmap.Camera(
            model=self.model, width=self.width, height=self.height, params=list(self.params)
        )
        pixels = self._pixels(supersample).reshape(-1, 2)
        rays = np.asarray(camera.cam_ray_from_img(pixels), dtype=np.float64)
        away = pixels - np.asarray(self.params)[self._centre]
        distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
        lost = np.isnan(rays[:, 2])
        if lost.any():
            nearest = np.argmin(np.where(lost, distance[:, 0], np.inf))
            self._check_rim(camera, away[nearest])
        rim = np.tan(_MAX_ANGLE) * away / distance
        within = rays[:, 2] > np.cos(_MAX_ANGLE)
        rim[within] = rays[within, :2] / rays[within, 2:]
        x, y = rim.reshape(self.height * supersample, -1, 2).transpose(2, 0, 1)
        return x, y

    @property
    def _centre(self) -> list[int]:
        """Which parameters are the principal point."""
        return list(pycolmap.Camera(model=self.model).principal_point_idxs())

    def _check_rim(self, camera: pycolmap.Camera, away: Array) -> None:
        """Refuse a lens that does not see all angles out to a pixel, `away` (2,) from the middle, px."""
        distance = np.linalg.norm(away)
        out = np.tan(np.linspace(0, _MAX_ANGLE, 256))[:, None] * away / distance
        seen = np.asarray(camera.img_from_cam(np.column_stack((out, np.ones(len(out))))))
        reached = (seen - seen[0]) @ away / distance
        if not (np.all(np.diff(reached) > 0) and reached[-1] < distance):
            raise ValueError(f"{self.model} {self.params} bends the corners in: radius must grow with angle")

    def _pixels(self, supersample: int) -> Array:
        """(rows, columns, 2) where on a still sensor each (sub)pixel centre would be, px."""
        step = 1.0 / supersample
        u = (np.arange(self.width * supersample) + 0.5) * step
        v = (np.arange(self.height * supersample) + 0.5) * step
        shift = self._shake(v / self.height - 0.5)
        return np.stack(np.broadcast_arrays(u + shift[0][:, None], (v + shift[1])[:, None]), axis=-1)

    def _shake(self, row: Array) -> Array:
        """(2, N) shift of rows, given by their share of the height, in x and y, px: a rolling shutter's."""
        if not self.shake_px:
            return np.zeros((2, len(row)))
        rng = np.random.default_rng(self.shake_seed)
        phase = rng.uniform(0, 2 * np.pi, (2, _SHAKES))
        waves = np.sin(2 * np.pi * row[None, None, :] * np.arange(1, _SHAKES + 1)[:, None] + phase[..., None])
        return np.asarray(self.shake_px * np.sqrt(2 / _SHAKES) * waves.sum(axis=1), dtype=np.float64)


def radial_lens(width: int, height: int, focal_px: float, k1: float = 0.0, k2: float = 0.0) -> Lens:
    """COLMAP's SIMPLE_RADIAL, or RADIAL where there is a k2, with the principal point in the middle."""
    distortion = (k1, k2) if k2 else (k1,)
    params = (focal_px, width / 2, height / 2, *distortion)
    return Lens(width, height, "RADIAL" if k2 else "SIMPLE_RADIAL", params)


def fisheye_lens(width: int, height: int, focal_px: float, *distortion: float) -> Lens:
    """COLMAP's OPENCV_FISHEYE with one focal length, k1 to k4 and the principal point in the middle."""
    params = (focal_px, focal_px, width / 2, height / 2, *distortion, *(0.0,) * (4 - len(distortion)))
    return Lens(width, height, "OPENCV_FISHEYE", params)


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """cam_from_world: x_cam = rotation @ x_world + translation; camera z forward, y down."""

    rotation: Array
    translation: Array

    @property
    def centre(self) -> Array:
        """Projection centre in the world."""
        return np.asarray(-self.rotation.T @ self.translation, dtype=np.float64)


def look_at(eye: Array, target: Array) -> Pose:
    """The pose at `eye` that looks at `target`, the world's z up in the picture."""
    forward = np.asarray(target, dtype=np.float64) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return Pose(rotation, -rotation @ eye)


def rolled(pose: Pose, roll_deg: float) -> Pose:
    """The same view, the camera turned clockwise about its optical axis; the picture turns the other way."""
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return Pose(turn @ pose.rotation, turn @ pose.translation)
