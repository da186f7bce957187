"""The cameras that take the pictures, with pixel centres at 0.5, and their poses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .quads import Array

Float32 = NDArray[np.float32]

_MAX_ANGLE = np.radians(88.0)
"""Of a fisheye's rays from the axis: those further out are seen nowhere in (x, y, 1)."""

_SHAKES = 3
"""Waves that a photo's shake is made of, the fastest with so many periods from its first row to its last."""


@dataclass(frozen=True, slots=True)
class PinholeRadial:
    """COLMAP's SIMPLE_RADIAL, or RADIAL where there is a k2: focal length and principal point in px."""

    width: int
    height: int
    focal_px: float
    k1: float = 0.0
    k2: float = 0.0
    shake_px: float = 0.0
    """Root mean square, px in x and in y, of how far motion during the exposure shifts the rows."""
    shake_seed: int = 0

    @property
    def model(self) -> str:
        """COLMAP's name of the camera model."""
        return "RADIAL" if self.k2 else "SIMPLE_RADIAL"

    @property
    def params(self) -> tuple[float, ...]:
        """Parameters in COLMAP's order: f, cx, cy, k1, and k2 of RADIAL."""
        distortion = (self.k1, self.k2) if self.k2 else (self.k1,)
        return self.focal_px, self.width / 2, self.height / 2, *distortion

    def stretch(self, x: Float32, y: Float32) -> Float32:
        """How much wider a pixel's cone about the direction (x, y, 1) is than a perspective camera's."""
        return np.ones_like(x)

    def rays(self, supersample: int = 1) -> tuple[Array, Array]:
        """x and y of the direction (x, y, 1) through each (sub)pixel centre, both (rows, columns)."""
        x, y = self._on_sensor(supersample)
        distorted = np.maximum(np.hypot(x, y), 1e-12)
        radii = np.linspace(0, 3 * float(distorted.max()), 4096)
        square = radii**2
        moved = radii * (1 + square * (self.k1 + square * self.k2))
        reached = int(np.argmax(moved >= distorted.max()))  # the first; where none is, 0
        if not reached or np.any(np.diff(moved[: reached + 1]) <= 0):
            raise ValueError("these k1 and k2 bend the corners back in: radius must grow out to them")
        factor = np.interp(distorted, moved[: reached + 1], radii[: reached + 1]) / distorted
        return factor * x, factor * y

    def _on_sensor(self, supersample: int) -> tuple[Array, Array]:
        """x and y of each (sub)pixel centre from the principal point, in focal lengths."""
        step = 1.0 / supersample
        u = (np.arange(self.width * supersample) + 0.5) * step - self.width / 2
        v = (np.arange(self.height * supersample) + 0.5) * step - self.height / 2
        shift_u, shift_v = self._shake(v / self.height)
        x = (u[None, :] + shift_u[:, None]) / self.focal_px
        return x, (v[:, None] + shift_v[:, None] + np.zeros_like(u)) / self.focal_px

    def _shake(self, row: Array) -> Array:
        """(2, N) shift of rows, given by their share of the height, in x and y, px: a rolling shutter's."""
        if not self.shake_px:
            return np.zeros((2, len(row)))
        rng = np.random.default_rng(self.shake_seed)
        phase = rng.uniform(0, 2 * np.pi, (2, _SHAKES))
        waves = np.sin(2 * np.pi * row[None, None, :] * np.arange(1, _SHAKES + 1)[:, None] + phase[..., None])
        return np.asarray(self.shake_px * np.sqrt(2 / _SHAKES) * waves.sum(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fisheye(PinholeRadial):
    """COLMAP's OPENCV_FISHEYE with one focal length; its rim, at 176 degrees, is drawn out."""

    k3: float = 0.0
    k4: float = 0.0

    @property
    def model(self) -> str:
        """COLMAP's name of the camera model."""
        return "OPENCV_FISHEYE"

    @property
    def params(self) -> tuple[float, ...]:
        """Parameters in COLMAP's order: fx, fy, cx, cy, k1, k2, k3, k4."""
        f = self.focal_px
        return f, f, self.width / 2, self.height / 2, self.k1, self.k2, self.k3, self.k4

    def stretch(self, x: Float32, y: Float32) -> Float32:
        """Its pixels cover equal angles, those of a perspective camera smaller ones off the axis."""
        return np.asarray((1 + x * x + y * y) ** 0.75, np.float32)

    def rays(self, supersample: int = 1) -> tuple[Array, Array]:
        """x and y of the direction (x, y, 1) through each (sub)pixel centre, both (rows, columns)."""
        x, y = self._on_sensor(supersample)
        angles = np.linspace(0, _MAX_ANGLE, 4096)
        square = angles**2
        radii = angles * (1 + square * (self.k1 + square * (self.k2 + square * (self.k3 + square * self.k4))))
        if np.any(np.diff(radii) <= 0):
            raise ValueError("these k1 to k4 bend the outer rays back in: radius must grow with angle")
        radius = np.maximum(np.hypot(x, y), 1e-12)
        factor = np.tan(np.interp(radius, radii, angles)) / radius
        return factor * x, factor * y


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
