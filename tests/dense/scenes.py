"""A synthetic scene with exact geometry, and what a dense matcher would say about pairs of photos of it.

Boxes and balls on a ground: planes, curved surfaces and depth edges. Correspondences are found as the
network's
are: from a grid of starts in either photo, there and back again until nothing moves, every position rounded
    to a whole network pixel; with white and with smooth noise, and some of them simply wrong.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from retrieval import Pair
from sfm.mast3r.values import DenseMatches, PixelMap

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A pinhole photo: cam_from_world, and how the network's pixels lie in it."""

    name: str
    rotation: Array
    translation: Array
    focal: float
    """Network px."""
    size: tuple[int, int]
    """(H, W) of the network's image."""
    pixels: PixelMap

    @property
    def centre(self) -> Array:
        return np.asarray(-self.rotation.T @ self.translation)

    def directions(self, uv: Array) -> Array:
        """World directions (N, 3), depth 1 along the optical axis, of network pixels (N, 2)."""
        h, w = self.size
        x = (uv - [(w - 1) / 2, (h - 1) / 2]) / self.focal
        return np.asarray(np.column_stack((x, np.ones(len(x)))) @ self.rotation)

    def project(self, points: Array) -> Array:
        """Network pixels (N, 2) of world points; NaN behind the camera or outside of the image."""
        h, w = self.size
        local = points @ self.rotation.T + self.translation
        with np.errstate(divide="ignore", invalid="ignore"):
            uv = local[:, :2] / local[:, 2:] * self.focal + [(w - 1) / 2, (h - 1) / 2]
        inside = (local[:, 2] > 0) & np.all((uv > -0.5) & (uv < [w - 0.5, h - 0.5]), axis=1)
        return np.asarray(np.where(inside[:, None], uv, np.nan))

    @property
    def cam_from_world(self) -> pycolmap.Rigid3d:
        return pycolmap.Rigid3d(pycolmap.Rotation3d(self.rotation), self.translation)

    @property
    def colmap_camera(self) -> pycolmap.Camera:
        """The camera in photo px."""
        h, w = self.size
        scale = self.pixels.scale[0]
        cx, cy = (np.array([w, h]) / 2 + self.pixels.crop) * scale
        return pycolmap.Camera(
            model="SIMPLE_PINHOLE",
            width=round((w + 2 * self.pixels.crop[0]) * scale),
            height=round((h + 2 * self.pixels.crop[1]) * scale),
            params=[self.focal * scale, cx, cy],
        )


@dataclass(frozen=True)
class Noise:
    """How wrong the network is, network px."""

    white: float = 0.35
    smooth: float = 0.15
    """Standard deviation of an error with a correlation length of 16 px, which no averaging removes."""
    wrong: float = 0.15
    """Share of the matches that lead to a random place."""


@dataclass(frozen=True)
class Scene:
    cameras: tuple[Camera, ...]
    quads: Array
    """(Q, 3, 3): a corner and two edges, m."""
    balls: Array
    """(B, 4): centre and radius, m."""

    @cached_property
    def by_name(self) -> dict[str, Camera]:
        return {camera.name: camera for camera in self.cameras}

    @property
    def photo_px(self) -> dict[str, float]:
        return {camera.name: camera.pixels.photo_px for camera in self.cameras}

    def lift(self, camera: Camera, uv: Array) -> Array:
        """World points (N, 3) that the network pixels see, NaN for the sky."""
        rays = camera.directions(uv)
        return np.asarray(camera.centre + self._depth(camera.centre, rays)[:, None] * rays)

    def transfer(self, a: Camera, b: Camera, uv: Array) -> Array:
        """Where b sees what a sees at (N, 2), NaN where it doesn't."""
        return self.seen(b, self.lift(a, uv))

    def seen(self, camera: Camera, points: Array) -> Array:
        """Network pixels (N, 2) of world points, NaN where something is in front of them."""
        uv = camera.project(points)
        hit = self._depth(camera.centre, points - camera.centre)
        return np.asarray(np.where((hit > 1 - 1e-4)[:, None], uv, np.nan))

    def _depth(self, origin: Array, rays: Array) -> Array:
        """Ray parameter (N,) of the first hit, NaN for none."""
        nearest = np.full(len(rays), np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            for corner, u, v in self.quads:
                normal = np.cross(u, v)
                depth = (corner - origin) @ normal / (rays @ normal)
                place = origin + depth[:, None] * rays - corner
                s, t = place @ u / (u @ u), place @ v / (v @ v)
                hit = (depth > 1e-6) & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
                nearest = np.where(hit, np.minimum(nearest, depth), nearest)
            for ball in self.balls:
                offset = origin - ball[:3]
                a, b = np.sum(rays * rays, axis=1), rays @ offset
                depth = (-b - np.sqrt(b * b - a * (offset @ offset - ball[3] ** 2))) / a
                nearest = np.where(depth > 1e-6, np.minimum(nearest, depth), nearest)
        return np.where(np.isfinite(nearest), nearest, np.nan)

    def matches(self, pair: Pair, *, noise: Noise = Noise(), seed: int = 0, grid: int = 8) -> DenseMatches:
        """What the network says about a pair, in photo px."""
        a, b = self.by_name[pair.a], self.by_name[pair.b]
        names = [camera.name for camera in self.cameras]
        rng = np.random.default_rng([seed, names.index(pair.a), names.index(pair.b)])
        field_ab, field_ba = _noise_field(rng, a.size, noise), _noise_field(rng, b.size, noise)
        forth = self._reciprocal(a, b, field_ab, field_ba, grid)
        back = self._reciprocal(b, a, field_ba, field_ab, grid)
        both = np.unique(np.concatenate((forth, back[:, [2, 3, 0, 1]])), axis=0)
        confidence = rng.gamma(4.0, 0.5, len(both)) + 0.1
        wrong = rng.random(len(both)) < noise.wrong
        both[wrong, 2:] = rng.integers(0, b.size[::-1], (int(wrong.sum()), 2))
        confidence[wrong] *= 0.6
        return DenseMatches(
            a.pixels.to_photo(both[:, :2]), b.pixels.to_photo(both[:, 2:]), confidence.astype(np.float32)
        )

    def _reciprocal(self, a: Camera, b: Camera, there: Array, back: Array, grid: int) -> Array:
        """(M, 4) whole pixels of a and b that are each other's nearest neighbours."""
        h, w = a.size
        x, y = np.meshgrid(np.arange(grid // 2, w, grid), np.arange(grid // 2, h, grid))
        at_a = np.column_stack((x.ravel(), y.ravel())).astype(np.float64)
        at_b = self._step(a, b, at_a, there)
        found = []
        for _ in range(10):
            ok = np.isfinite(at_b[:, 0])
            at_a, at_b = at_a[ok], at_b[ok]
            returned = self._step(b, a, at_b, back)
            still = np.all(returned == at_a, axis=1)
            found.append(np.hstack((at_a[still], at_b[still])))
            at_a, at_b = returned[~still], at_b[~still]
            ok = np.isfinite(at_a[:, 0])
            at_a, at_b = at_a[ok], at_b[ok]
            again = self._step(a, b, at_a, there)
            still = np.all(again == at_b, axis=1)
            found.append(np.hstack((at_a[still], at_b[still])))
            at_a, at_b = at_a[~still], again[~still]
        return np.concatenate(found)

    def _step(self, a: Camera, b: Camera, uv: Array, field: Array) -> Array:
        column, row = uv.astype(np.int64).T
        moved = np.round(self.transfer(a, b, uv) + field[row, column])
        h, w = b.size
        inside = np.all((moved >= 0) & (moved < [w, h]), axis=1)
        return np.where(inside[:, None], moved, np.nan)

    def all_matches(
        self, pairs: Iterable[Pair], *, noise: Noise = Noise(), seed: int = 0
    ) -> dict[Pair, DenseMatches]:
        return {pair: self.matches(pair, noise=noise, seed=seed) for pair in pairs}


def _noise_field(rng: np.random.Generator, size: tuple[int, int], noise: Noise) -> Array:
    """(H, W, 2) error of the match of each pixel, the same whenever the pixel is asked for."""
    smooth = gaussian_filter(rng.standard_normal((*size, 2)), (8, 8, 0), mode="wrap")
    smooth *= noise.smooth / max(float(smooth.std()), 1e-12)
    return np.asarray(noise.white * rng.standard_normal((*size, 2)) + smooth)


def make_scene(
    num_cameras: int = 8,
    *,
    size: tuple[int, int] = (192, 256),
    arc_deg: float = 80.0,
    seed: int = 0,
    photo_px: tuple[float, ...] = (2.0,),
) -> Scene:
    """Cameras on an arc round boxes and balls; the photos' scales go through `photo_px` in turn."""
    rng = np.random.default_rng(seed)
    cameras = []
    for i in range(num_cameras):
        angle = np.deg2rad(arc_deg * (i / max(num_cameras - 1, 1) - 0.5))
        distance, height = rng.uniform(5.5, 7.5), rng.uniform(1.5, 3.0)
        centre = np.array([distance * np.sin(angle), -distance * np.cos(angle), height])
        rotation = _looking(centre, np.array([0, 0, 0.7]) + rng.normal(0, 0.25, 3), rng.normal(0, 0.06))
        scale = photo_px[i % len(photo_px)]
        crop = (0, 0) if i % 2 else (0, 4)
        cameras.append(
            Camera(
                f"photo_{i:03d}.jpg",
                rotation,
                -rotation @ centre,
                1.1 * size[1],
                size,
                PixelMap((scale, scale), crop, size),
            )
        )
    quads = [_quad([-9, -9, 0], [18, 0, 0], [0, 18, 0])]
    for x, y, turn, side, height in (
        (-1.2, 0.6, 0.3, 1.4, 1.5),
        (1.3, 0.3, -0.5, 1.2, 1.0),
        (0.1, -1.3, 0.8, 0.8, 0.5),
    ):
        quads.extend(_box(np.array([x, y]), turn, side, height))
    balls = np.array([[0.2, 0.5, 0.7, 0.7], [-0.9, -1.1, 0.4, 0.4], [1.5, -1.0, 0.45, 0.45]])
    return Scene(tuple(cameras), np.array(quads), balls)


def neighbour_pairs(scene: Scene, reach: int) -> list[Pair]:
    """Pairs of cameras at most `reach` places apart on the arc."""
    names = [camera.name for camera in scene.cameras]
    return [
        Pair.of(names[i], names[j])
        for i in range(len(names))
        for j in range(i + 1, min(i + reach + 1, len(names)))
    ]


def _looking(centre: Array, target: Array, roll: float) -> Array:
    """cam_from_world rotation of a camera at `centre` that looks at `target`."""
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ np.stack((x, y, z))


def _quad(corner: list[float], u: list[float], v: list[float]) -> Array:
    return np.array([corner, u, v], np.float64)


def _box(place: Array, turn: float, side: float, height: float) -> list[Array]:
    """Four walls and a top."""
    c, s = np.cos(turn), np.sin(turn)
    x, y, z = side * np.array([c, s, 0]), side * np.array([-s, c, 0]), np.array([0, 0, height])
    corner = np.array([*place, 0]) - x / 2 - y / 2
    walls = [(corner, x), (corner, y), (corner + x, y), (corner + y, x)]
    return [np.stack((start, edge, z)) for start, edge in walls] + [np.stack((corner + z, x, y))]


@dataclass(frozen=True)
class TrackErrors:
    """Tracks against the truth; errors in network px, reference observations left out."""

    median_px: float
    mean_length: float
    wrong: float
    """Share of observations that are more than 3 px off, or where the point isn't seen."""
    conflicts: int
    """Tracks with two keypoints in one photo."""
    num_tracks: int
    num_observations: int
    errors_px: Array


def judge(
    scene: Scene, keypoints: Mapping[str, NDArray[np.float32]], matches: Mapping[Pair, NDArray[np.uint32]]
) -> TrackErrors:
    """Tracks, as the connected parts of the matches, against where the scene's points really are.

    The point of a track is what one of its observations sees: of the first four, the one that the others
    agree with best.
    """
    track, photo, xy = connected_tracks(keypoints, matches)
    names = sorted(keypoints)
    lengths = np.bincount(track)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    uv = np.empty_like(xy)
    for index, name in enumerate(names):
        uv[photo == index] = scene.by_name[name].pixels.to_network(xy[photo == index])
    best, reference = np.full(len(lengths), np.inf), np.full(len(track), np.inf)
    for k in range(4):
        anchor = starts + np.minimum(k, lengths - 1)
        points = np.empty((len(anchor), 3))
        for index, name in enumerate(names):
            here = photo[anchor] == index
            points[here] = scene.lift(scene.by_name[name], uv[anchor[here]])
        errors = _errors(scene, names, points[track], photo, uv)
        errors[anchor] = np.nan
        typical = _median_by_track(errors, track, len(lengths))
        better = typical < best
        reference = np.where(better[track], errors, reference)
        best = np.where(better, typical, best)
    others = reference[~np.isnan(reference)]
    keys = np.unique(np.column_stack((track, photo)), axis=0)
    conflicts = int(np.sum(np.bincount(keys[:, 0], minlength=len(lengths)) < lengths))
    return TrackErrors(
        float(np.median(others)) if len(others) else float("nan"),
        float(lengths.mean()) if len(lengths) else 0.0,
        float(np.mean(others > 3)) if len(others) else float("nan"),
        conflicts,
        len(lengths),
        len(track),
        others,
    )


def _errors(scene: Scene, names: list[str], points: Array, photo: NDArray[np.int64], uv: Array) -> Array:
    """Distances (N,) of observations from where their points are seen; infinite where they aren't."""
    errors = np.empty(len(uv))
    for index, name in enumerate(names):
        here = photo == index
        errors[here] = np.linalg.norm(scene.by_name[name].project(points[here]) - uv[here], axis=1)
    return np.where(np.isnan(errors), np.inf, errors)


def _median_by_track(errors: Array, track: NDArray[np.int64], count: int) -> Array:
    """Median (T,) of the values that aren't NaN; tracks are sorted and none is empty."""
    order = np.lexsort((errors, track))
    known = np.bincount(track[~np.isnan(errors)], minlength=count)
    starts = np.concatenate(([0], np.cumsum(np.bincount(track, minlength=count))[:-1]))
    return np.where(known > 0, errors[order][starts + np.maximum(known - 1, 0) // 2], np.inf)


def connected_tracks(
    keypoints: Mapping[str, NDArray[np.float32]], matches: Mapping[Pair, NDArray[np.uint32]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Track number, photo number (by sorted name) and position of every keypoint that has a match; by
    track."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(keypoints)
    offset = dict(zip(names, np.cumsum([0, *(len(keypoints[n]) for n in names)]), strict=False))
    total = sum(len(keypoints[n]) for n in names)
    ends = [np.zeros((0, 2), np.int64)]
    ends += [
        found.astype(np.int64) + np.array([offset[p.a], offset[p.b]]) for p, found in sorted(matches.items())
    ]
    edges = np.concatenate(ends)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(total, total))
    labels = connected_components(graph, directed=False)[1]
    used = np.unique(edges)
    photo = np.repeat(np.arange(len(names)), [len(keypoints[n]) for n in names])[used]
    xy = np.concatenate([np.zeros((0, 2)), *(keypoints[n] for n in names)])[used].astype(np.float64)
    track = np.unique(labels[used], return_inverse=True)[1]
    order = np.lexsort((photo, track))
    return track[order], photo[order], xy[order]
