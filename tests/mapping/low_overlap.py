"""Databases of photos with little overlap or no parallax, and the depth of their keypoints, for the tests."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

WIDTH, HEIGHT, FOCAL = 640, 480, 700.0
NOISE_PX = 0.5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KnownDepth:
    """A `DepthSource` that knows the depth of keypoints and of no other place."""

    views: dict[str, tuple[Array, Array, Array]]
    """Positions (N, 2), depth (N,) and confidence (N,) by name."""
    metric: bool = False

    def at(self, name: str, xy: Array) -> tuple[Array, Array] | None:
        if name not in self.views:
            return None
        positions, depth, confidence = self.views[name]
        distance, nearest = cKDTree(positions).query(xy)
        known = distance < 0.01
        return np.where(known, depth[nearest], np.nan), np.where(known, confidence[nearest], 1.0)


@dataclass
class Photos:
    """True poses by image id, noisy keypoints, their true depths, and matches by pair of ids (ascending).

    What `chain` and `turning` give is not to be changed.
    """

    cams_from_world: Mapping[int, pycolmap.Rigid3d]
    rng: np.random.Generator
    xy: dict[int, list[Array]] = field(default_factory=dict)
    depth: dict[int, list[float]] = field(default_factory=dict)
    matches: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    distortion: float = 0.0
    """k of SIMPLE_RADIAL, which is then not known."""
    noise_px: float = NOISE_PX

    def add(self, point: Array, image_ids: list[int]) -> None:
        """A point that these photos see, matched between all of them."""
        seen = {image_id: self._observe(image_id, point) for image_id in image_ids}
        for a, b in itertools.combinations(image_ids, 2):
            self.matches.setdefault((a, b), []).append((seen[a], seen[b]))

    def _observe(self, image_id: int, point: Array) -> int:
        in_cam = self.cams_from_world[image_id] * point
        xy = self._projected(in_cam) + self.rng.normal(scale=self.noise_px, size=2)
        self.xy.setdefault(image_id, []).append(np.float32(xy).astype(np.float64))
        self.depth.setdefault(image_id, []).append(float(in_cam[2]))
        return len(self.depth[image_id]) - 1

    def sees(self, image_id: int, point: Array) -> bool:
        in_cam = self.cams_from_world[image_id] * point
        if in_cam[2] < 0.5:
            return False
        x, y = self._projected(in_cam)
        return bool(5 < x < WIDTH - 5 and 5 < y < HEIGHT - 5)

    def _projected(self, in_cam: Array) -> Array:
        ray = in_cam[:2] / in_cam[2]
        return np.asarray(FOCAL * ray * (1 + self.distortion * (ray @ ray)) + (WIDTH / 2, HEIGHT / 2))


def camera(distortion: float = 0.0) -> pycolmap.Camera:
    """As databases have it; not known with distortion."""
    name = "SIMPLE_RADIAL" if distortion else "SIMPLE_PINHOLE"
    made = pycolmap.Camera.create_from_model_name(1, name, FOCAL, WIDTH, HEIGHT)
    made.has_prior_focal_length = not distortion
    return made


def name_of(image_id: int) -> str:
    return f"{image_id:02d}.jpg"


@cache
def chain(
    num_images: int, *, dense: int = 0, points_per_pair: int = 150, turning: float = 1.0, seed: int = 0
) -> Photos:
    """Photos taken walking along a rugged wall; each point is matched between two neighbours and seen by no
    third photo, except that the first `dense` photos match all that they see. Where photos do not turn (0),
    nothing but depth tells their focal length."""
    rng = np.random.default_rng(seed)
    poses = {}
    for k in range(num_images):
        angles = np.array([0, 0.04 * (k % 3 - 1), 0]) + rng.normal(scale=0.05, size=3)
        turn = pycolmap.Rotation3d(turning * angles)
        centre = np.array([2.6 * k, 0.3 * np.sin(k), 0.8 * np.sin(0.7 * k)]) + rng.normal(scale=0.1, size=3)
        poses[k + 1] = pycolmap.Rigid3d(turn, -(turn.matrix() @ centre))
    photos = Photos(poses, rng)
    for k in range(1, num_images):
        for _ in range(points_per_pair):
            point = _seen_by_both(photos, rng, k)
            more = [i for i in range(k + 2, dense + 1) if photos.sees(i, point)]
            photos.add(point, [k, k + 1, *more])
    return photos


def _seen_by_both(photos: Photos, rng: np.random.Generator, k: int) -> Array:
    while True:
        x, y = rng.uniform((2.6 * k - 8, -5), (2.6 * k + 8, 5))
        point = np.array([x, y, 8 + 1.5 * (np.sin(1.3 * x) + np.cos(0.9 * y) + rng.uniform(-1, 1))])
        if photos.sees(k, point) and photos.sees(k + 1, point):
            return point


@cache
def turning(
    num_images: int,
    *,
    step_deg: float = 9.0,
    num_points: int = 1500,
    distortion: float = 0.0,
    noise_px: float = NOISE_PX,
    seed: int = 0,
) -> Photos:
    """A camera that turns on the spot; all pairs with 30 common points are matched."""
    rng = np.random.default_rng(seed)
    poses = {}
    for k in range(num_images):
        pan = pycolmap.Rotation3d(np.deg2rad([0, step_deg * k, 0]))
        wobble = pycolmap.Rotation3d(np.deg2rad([3 * np.sin(k), 0, 2 * np.cos(k)]))
        poses[k + 1] = pycolmap.Rigid3d(pan * wobble, np.zeros(3))
    photos = Photos(poses, rng, distortion=distortion, noise_px=noise_px)
    for _ in range(num_points):
        angle = rng.uniform(-np.deg2rad(30), np.deg2rad(30 + step_deg * num_images))
        radius = 6 + np.sin(4 * angle) + rng.uniform(-1, 1)
        point = radius * np.array([-np.sin(angle), rng.uniform(-0.5, 0.5), np.cos(angle)])
        photos.add(point, [k for k in poses if photos.sees(k, point)])
    photos.matches = {pair: found for pair, found in photos.matches.items() if len(found) >= 30}
    return photos


def write(photos: Photos, path: Path, *, wrong: float = 0.1, one_camera: bool = True) -> Path:
    """A database; matches, a share of them `wrong`, are verified by COLMAP."""
    rng = np.random.default_rng(0)
    with pycolmap.Database.open(path) as db:
        for image_id in photos.cams_from_world:
            made = camera(photos.distortion)
            made.camera_id = 1 if one_camera else image_id
            if made.camera_id == image_id:
                db.write_camera(made, use_camera_id=True)
            image = pycolmap.Image(image_id=image_id, name=name_of(image_id), camera_id=made.camera_id)
            db.write_image(image, use_image_id=True)
            db.write_keypoints(image_id, np.array(photos.xy[image_id], np.float32))
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed, options.compute_relative_pose = 0, True
        for (a, b), pairs in photos.matches.items():
            matches = np.array(pairs, np.uint32)
            mixed = rng.random(len(matches)) < wrong
            matches[mixed, 1] = rng.permutation(matches[mixed, 1])
            geometry = pycolmap.estimate_calibrated_two_view_geometry(
                camera(photos.distortion),
                np.array(photos.xy[a]),
                camera(photos.distortion),
                np.array(photos.xy[b]),
                matches,
                options,
            )
            db.write_two_view_geometry(a, b, geometry)
    return path


def depth_of(photos: Photos, *, noise: float = 0.02, metric: bool = False) -> KnownDepth:
    """True depths with a smooth relative error; each photo in a unit of its own, or all in metres."""
    rng = np.random.default_rng(0)
    views = {}
    for image_id in photos.cams_from_world:
        xy, depth = np.array(photos.xy[image_id]), np.array(photos.depth[image_id])
        unit = np.exp(rng.normal(scale=0.7))
        error = smooth_error(xy, rng, noise)
        views[name_of(image_id)] = (
            xy,
            (1.0 if metric else unit) * depth * (1 + error),
            rng.uniform(3, 10, len(xy)),
        )
    return KnownDepth(views, metric)


def smooth_error(xy: Array, rng: np.random.Generator, deviation: float) -> Array:
    """A sum of four waves about as long as the photo, (N,)."""
    waves, phases = rng.normal(scale=2 * np.pi / WIDTH, size=(4, 2)), rng.uniform(0, 2 * np.pi, 4)
    return deviation * np.sqrt(0.5) * np.sin(xy @ waves.T + phases).sum(axis=1)
