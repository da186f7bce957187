"""Photos that determine little: flat ground, narrow angles, motion straight ahead, wrong matches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap

WIDTH, HEIGHT, FOCAL = 1024, 768, 717.0
K1 = -0.04
_WAVES = 3
_MIN_SHARED = 30

Array = np.ndarray


@dataclass(frozen=True)
class Shoot:
    """Points, and where they are photographed from."""

    points: Array
    """(N, 3)"""
    poses: list[pycolmap.Rigid3d]
    """cam_from_world"""
    noise_px: float = 0.5
    shake_px: float = 0.0
    """Root mean square of a smooth shift of rows, each photo's own: a rolling shutter's."""
    wrong: float = 0.0
    """Share of the verified matches that are wrong."""
    camera_a_photo: bool = False
    focal_px: float = FOCAL
    seed: int = 0


def flight(
    seed: int, *, photos: int = 28, lines: int = 4, length_m: float = 410.0, shake_px: float = 1.5
) -> Shoot:
    """Flat fields, straight down from 100 m, line after line, there and back."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform([-310, -210, 0], [310, 210, 0], (6000, 3))
    poses = []
    for i in range(photos):
        line, column = divmod(i, photos // lines)
        x = length_m * (column / (photos // lines - 1) - 0.5) * (-1) ** line
        eye = np.array([x, -105.0 + 70.0 * line, 100.0]) + rng.normal(0, [2, 2, 0.7])
        turn = np.pi * (line % 2) + np.radians(rng.uniform(-3, 3))
        poses.append(_down(eye, turn, np.radians(rng.normal(0, 1, 2))))
    return Shoot(ground, poses, shake_px=shake_px, seed=seed)


def narrow(seed: int) -> Shoot:
    """A far hill from side by side: rays to a point differ by two or three degrees."""
    rng = np.random.default_rng(seed)
    hill = rng.uniform([-40, -25, 90], [40, 25, 120], (1500, 3))
    return Shoot(hill, [_ahead(np.array([x, 0.0, 0.0])) for x in np.linspace(-2.5, 2.5, 10)], seed=seed)


def forward(seed: int) -> Shoot:
    """A street, driven straight on."""
    rng = np.random.default_rng(seed)
    street = rng.uniform([-8, -3, 4], [8, 3, 60], (3000, 3))
    return Shoot(street, [_ahead(np.array([0.0, 0.0, z])) for z in np.linspace(0, 20, 14)], seed=seed)


def strip(seed: int) -> Shoot:
    """A single line over flat ground, each point in three photos or more."""
    return flight(seed, photos=8, lines=1, length_m=280.0)


def three(seed: int) -> Shoot:
    """No more than three photos."""
    rng = np.random.default_rng(seed)
    things = rng.uniform([-4, -3, 6], [4, 3, 12], (400, 3))
    return Shoot(things, [_ahead(np.array([x, 0.0, 0.0])) for x in (-1.0, 0.0, 1.2)], seed=seed)


def camera_a_photo(seed: int) -> Shoot:
    """Each photo by another camera."""
    rng = np.random.default_rng(seed)
    things = rng.uniform([-6, -3, 6], [6, 3, 12], (900, 3))
    poses = [_ahead(np.array([x, rng.normal(0, 0.3), 0.0])) for x in np.linspace(-3, 3, 9)]
    return Shoot(things, poses, camera_a_photo=True, seed=seed)


def far_away(seed: int) -> Shoot:
    """Through a lens of 3.6 degrees, from 100 m: longer than COLMAP's bound on focal lengths."""
    rng = np.random.default_rng(seed)
    things = rng.uniform([-2.4, -1.8, 97], [2.4, 1.8, 103], (900, 3))
    angles = np.radians(np.linspace(-8, 8, 9))
    poses = []
    for angle in angles:
        turn = pycolmap.Rotation3d(np.array([0.0, -np.sin(angle / 2), 0.0, np.cos(angle / 2)]))
        eye = np.array([0.0, rng.normal(0, 2), 100.0]) - turn.inverse() * np.array([0.0, 0.0, 100.0])
        poses.append(pycolmap.Rigid3d(turn, -(turn * eye)))
    return Shoot(things, poses, focal_px=16.0 * WIDTH, seed=seed)


def outliers(seed: int) -> Shoot:
    """Two of five matches are wrong."""
    rng = np.random.default_rng(seed)
    things = rng.uniform([-6, -3, 6], [6, 3, 12], (1200, 3))
    poses = [_ahead(np.array([x, rng.normal(0, 0.3), 0.0])) for x in np.linspace(-3, 3, 9)]
    return Shoot(things, poses, wrong=0.4, seed=seed)


KINDS: dict[str, Callable[[int], Shoot]] = {
    "flat": flight,
    "narrow angle": narrow,
    "forward": forward,
    "strip": strip,
    "three photos": three,
    "a camera a photo": camera_a_photo,
    "long lens": far_away,
    "outliers": outliers,
}


def write(shoot: Shoot, path: Path) -> Path:
    """A COLMAP database of verified pairs; the focal lengths are given, as by EXIF."""
    rng = np.random.default_rng(shoot.seed + 1)
    truth = pycolmap.Camera(model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=_params(shoot, K1))
    seen = [_keypoints(shoot, i, truth, rng) for i in range(len(shoot.poses))]
    with pycolmap.Database.open(path) as db:
        for i, (_, keypoints) in enumerate(seen, 1):
            if i == 1 or shoot.camera_a_photo:
                given = pycolmap.Camera(
                    model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=_params(shoot, 0.0)
                )
                given.has_prior_focal_length = True
                camera_id = db.write_camera(given)
            db.write_image(pycolmap.Image(f"{i:02d}.jpg", camera_id=camera_id, image_id=i), use_image_id=True)
            db.write_keypoints(i, keypoints.astype(np.float32))
        for i, j, matches in _pairs(seen, shoot.wrong, rng):
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = matches
            geometry.cam2_from_cam1 = shoot.poses[j] * shoot.poses[i].inverse()
            db.write_two_view_geometry(i + 1, j + 1, geometry)
    return path


def _params(shoot: Shoot, k1: float) -> list[float]:
    return [shoot.focal_px, WIDTH / 2, HEIGHT / 2, k1]


def _keypoints(
    shoot: Shoot, photo: int, camera: pycolmap.Camera, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Indices of the points that a photo shows, and where, px."""
    inside = shoot.poses[photo] * shoot.points
    ahead = np.flatnonzero(inside[:, 2] > 0.5)
    xy = np.asarray(camera.img_from_cam(inside[ahead]))
    shown = np.all((xy > 0) & (xy < [WIDTH, HEIGHT]), axis=1)
    xy = xy[shown]
    phase = rng.uniform(0, 2 * np.pi, (2, _WAVES))
    rows = 2 * np.pi * xy[:, 1:2] / HEIGHT * np.arange(1, _WAVES + 1)
    shake = shoot.shake_px * np.sqrt(2 / _WAVES) * np.sin(rows[:, None] + phase).sum(axis=2)
    return ahead[shown], xy + shake + rng.normal(0, shoot.noise_px, xy.shape)


def _pairs(
    seen: list[tuple[Array, Array]], wrong: float, rng: np.random.Generator
) -> Iterator[tuple[int, int, Array]]:
    for i, j in combinations(range(len(seen)), 2):
        _, at, to = np.intersect1d(seen[i][0], seen[j][0], return_indices=True)
        if len(at) >= _MIN_SHARED:
            false = rng.random(len(to)) < wrong
            to[false] = rng.permutation(to[false])
            yield i, j, np.column_stack((at, to)).astype(np.uint32)


def _ahead(eye: Array) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pycolmap.Rotation3d(), -eye)


def _down(eye: Array, turn: float, lean: Array) -> pycolmap.Rigid3d:
    forward_ = np.array([np.tan(lean[0]), np.tan(lean[1]), -1.0])
    forward_ /= np.linalg.norm(forward_)
    right = np.cross(forward_, [np.cos(turn), np.sin(turn), 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward_, right), forward_])
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ eye)
