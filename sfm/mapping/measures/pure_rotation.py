"""Whether rotations about one centre explain the observations of a model as well as its poses do.

With a wrong focal length, images from one spot look as after a slight motion past distant points, with small
residuals. So the residuals of rotations with a free focal length and distortion are compared, at the images
between which the model has the most parallax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pycolmap
import scipy.sparse as sp
from scipy.optimize import least_squares
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.spatial.transform import Rotation

from kernels.cross_matrices import cross_matrices

from ..scene.camera_models import principal_point
from ..scene.scene import Scene
from .observations import PointTable, seen_by
from .residuals import redundancy
from .soundness import MIN_COMMON_POINTS

_PLANAR = ("planar", "panoramic", "planar_or_panoramic")
_AS_WELL = 2.5
"""Ratio of the distances of matches with rotations alone to those with the model's poses, up to which
rotations explain them. Without parallax it is 1; here, parallax is 2.3 times the noise."""
_MAX_IMAGES = 12
_MAX_MATCHES = 20  # of a pair
_FOCAL_RANGE = 0.3, 3.0  # of the longer side, where no focal length is given
_GIVEN_RANGE = 0.95, 1.05  # of the focal length that is
_MAX_DISTORTION = 0.5

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def why_pure_rotation(scene: Scene, model: pycolmap.Reconstruction) -> str:
    """The reason why a model determines no camera positions, in words; empty where it does.

    It does where most pairs fit no homography. Spherical cameras are not asked: they have no focal length
    that a rotation could make up for.
    """
    if any(camera.is_spherical() for camera in model.cameras.values()):
        return ""
    names = {model.image(i).name for i in model.reg_image_ids()}
    edges = [edge for pair, edge in scene.view_graph.edges.items() if names.issuperset(pair)]
    if 2 * sum(edge.config in _PLANAR for edge in edges) < len(edges):
        return ""
    matches = _Matches.of(model, _Observations.of(model))
    if matches is None:
        return ""
    turned, moved = matches.distance_by_rotations(model), _upper_quartile(matches.by_poses)
    if turned > _AS_WELL * moved:
        return ""
    return (
        f"photos that only turned on one spot explain its matches as well ({turned:.2f} px, the model "
        f"{moved:.2f} px): where they were taken cannot be told"
    )


@dataclass(frozen=True, slots=True)
class _Observations:
    """What the registered images see, image by image in the order of their ids."""

    images: Sequence[int]
    points: Sequence[Indices]
    """(N,) ids, ascending, each once."""
    positions: Sequence[Array]
    """(N, 2) px."""
    residuals: Sequence[Array]
    """(N, 2) px, as large as by exact points: three coordinates a point are fitted to its observations."""
    rays: Sequence[Array]
    """(N, 3) unit vectors from the camera to the points, in the world."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> _Observations:
        table = PointTable.of(model)
        lengths = np.array([model.point3D(i).track.length() for i in table.ids.tolist()])
        images, parts = sorted(model.reg_image_ids()), list[tuple[Indices, Array, Array, Array]]()
        for image in map(model.image, images):
            seen, at = seen_by(image)
            ids, first = np.unique(seen, return_index=True)
            xyz, xy = table.xyz_of(ids).reshape(-1, 3), at[first]
            camera = model.camera(image.camera_id)
            found = np.asarray(camera.img_from_cam(image.cam_from_world() * xyz)).reshape(-1, 2)
            rays = xyz - image.projection_center()
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
            is_seen = np.isfinite(np.hstack((found, rays))).all(axis=1)
            left = redundancy(lengths[np.searchsorted(table.ids, ids)])
            off = (found - xy) / np.sqrt(left)[:, None]
            parts.append((ids[is_seen], xy[is_seen], off[is_seen], rays[is_seen]))
        points, positions, residuals, rays_of = zip(*parts, strict=True) if parts else ((),) * 4
        return cls(images, points, positions, residuals, rays_of)

    def parallax(self) -> sp.csr_array:
        """(I, I) mean of 1 - cos of the angles between the rays of two images to their common points.

        Of images that have enough of them; nothing of an image with itself.
        """
        ids, column = np.unique(np.concatenate([*self.points, np.zeros(0, np.int64)]), return_inverse=True)
        row = np.repeat(np.arange(len(self.images)), [len(points) for points in self.points])
        shape = len(self.images), len(ids)
        rays = np.concatenate([*self.rays, np.zeros((0, 3))])
        count, *cosines = (
            one @ one.T
            for one in (
                sp.csr_array((values, (row, column)), shape) for values in (np.ones(len(row)), *rays.T)
            )
        )
        pairs = count.tocoo()
        is_enough = (pairs.data >= MIN_COMMON_POINTS) & (pairs.row != pairs.col)
        first, second = pairs.row[is_enough], pairs.col[is_enough]
        if not len(first):
            return sp.csr_array(count.shape)
        away = 1 - sum(one[first, second] for one in cosines) / pairs.data[is_enough]
        return sp.csr_array((np.maximum(away, 0), (first, second)), count.shape)

    def most_apart(self) -> list[tuple[int, int]]:
        """Indices of pairs of images with much parallax: of the pair with most, and of the images farthest
        from those before them.

        Images for which the camera stood still come last.
        """
        parallax = self.parallax()
        if not parallax.sum():
            return []
        chosen = [int(one) for one in np.unravel_index(int(parallax.argmax()), parallax.shape)]
        while len(chosen) < _MAX_IMAGES:
            to_chosen = parallax[chosen].toarray()
            least = np.min(to_chosen, axis=0, where=to_chosen > 0, initial=np.inf)
            least[~np.isfinite(least)] = 0  # nothing in common with those
            least[chosen] = 0
            if not least.any():
                break
            chosen.append(int(least.argmax()))
        return [pair for pair in combinations(sorted(chosen), 2) if parallax[pair]]


@dataclass(frozen=True, slots=True)
class _Matches:
    """Observations of the same points by two images; the parameters are log f and distortion of each lens,
    then the turns."""

    images: Sequence[int]
    cameras: Sequence[int]
    lens: Indices
    """(images,) index of the camera."""
    ends: Indices
    """(M, 2) index of both images."""
    first: Array
    """(M, 2) px from the principal point ..."""
    second: Array
    """... in either image."""
    by_poses: Array
    """(M,) px: how far the match is off by the poses and points of the model."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction, seen: _Observations) -> _Matches | None:
        """Those between images with most parallax; None where no two have enough points in common."""
        pairs = seen.most_apart()
        if not pairs:
            return None
        chosen = sorted({i for pair in pairs for i in pair})
        images = [seen.images[i] for i in chosen]
        cameras = sorted({model.image(i).camera_id for i in images})
        ends, sides, lengths = list[tuple[int, int]](), list[Array](), list[Array]()
        for a, b in pairs:
            _, *rows = np.intersect1d(seen.points[a], seen.points[b], return_indices=True)
            both = [(i, at[:: 1 + len(at) // _MAX_MATCHES]) for i, at in zip((a, b), rows, strict=True)]
            ends += [(chosen.index(a), chosen.index(b))] * len(both[0][1])
            centres = [principal_point(model.camera(model.image(seen.images[i]).camera_id)) for i, _ in both]
            sides.append(
                np.hstack([seen.positions[i][at] - c for (i, at), c in zip(both, centres, strict=True)])
            )
            lengths.append(np.linalg.norm(np.hstack([seen.residuals[i][at] for i, at in both]), axis=1))
        lens = np.array([cameras.index(model.image(i).camera_id) for i in images])
        xy = np.concatenate(sides)
        return cls(images, cameras, lens, np.array(ends), xy[:, :2], xy[:, 2:], np.concatenate(lengths))

    def distance_by_rotations(self, model: pycolmap.Reconstruction) -> float:
        """How far matches are off, px, by rotations about one spot and free lenses: the upper quartile."""
        lower, start, upper = self.lenses(model)
        turns = self.rotations(start).as_rotvec().ravel()
        free = np.full(len(turns), np.inf)

        def residuals(parameters: Array) -> Array:
            return self.residuals(parameters).ravel()

        def jacobian(parameters: Array) -> Array:
            return self.jacobian(parameters).reshape(-1, len(parameters))

        found = least_squares(
            residuals,
            np.concatenate((start, turns)),
            jacobian,
            bounds=(np.concatenate((lower, -free)), np.concatenate((upper, free))),
            loss="soft_l1",
            x_scale="jac",
            ftol=1e-4,  # far finer than the ratio that decides
            max_nfev=100,
        )
        return _upper_quartile(np.linalg.norm(self.residuals(found.x), axis=1))

    def lenses(self, model: pycolmap.Reconstruction) -> tuple[Array, Array, Array]:
        """Least, first and greatest log f and distortion of each lens, one after the other."""
        rows = []
        for camera in map(model.camera, self.cameras):
            focal, side = camera.mean_focal_length(), max(camera.width, camera.height)
            if camera.has_prior_focal_length:
                low, high = (share * focal for share in _GIVEN_RANGE)
            else:
                low, high = (share * side for share in _FOCAL_RANGE)
            rows += [np.log([low, min(max(focal, 1.001 * low), 0.999 * high), high])]
            rows += [np.array([-_MAX_DISTORTION, 0.0, _MAX_DISTORTION])]
        lower, start, upper = np.array(rows).T
        return lower, start, upper

    def rotations(self, lenses: Array) -> Rotation:
        """`cam_from_world` of each image, from pair to pair, first those that rotations explain best.

        A model of images from one spot may have turned them by far.
        """
        count, no_turns = len(self.images), np.zeros(3 * len(self.images))
        one, other = self._sides(np.concatenate((lenses, no_turns)))
        turns, distances = dict[tuple[int, int], Rotation](), np.zeros((count, count))
        for a, b in np.unique(self.ends, axis=0).tolist():
            of_pair = (self.ends == (a, b)).all(axis=1)
            rays_a, rays_b = one.in_world[of_pair], other.in_world[of_pair]
            turn, _ = Rotation.align_vectors(rays_b, rays_a)
            turns[a, b], turns[b, a] = turn, turn.inv()
            left = np.median(np.linalg.norm(turn.apply(rays_a) - rays_b, axis=1))
            distances[a, b] = max(float(left), np.finfo(float).eps)
        tree = minimum_spanning_tree(sp.csr_array(distances))
        order, before = breadth_first_order(tree, 0, directed=False)
        found = [Rotation.identity()] * count
        for image in order[1:].tolist():
            found[image] = turns[before[image], image] * found[before[image]]
        return Rotation.concatenate(found)

    def residuals(self, parameters: Array) -> Array:
        """(M, 3) px: what is between both rays of a match in the world, times the focal length."""
        one, other = self._sides(parameters)
        return np.asarray((one.in_world - other.in_world) * self._scale(parameters)[:, None])

    def jacobian(self, parameters: Array) -> Array:
        """(M, 3, P) derivatives of the residuals by the parameters."""
        num_lenses, every = 2 * len(self.cameras), np.arange(len(self.ends))
        found = np.zeros((len(self.ends), 3, len(parameters)))
        between, scale = self.residuals(parameters), self._scale(parameters)
        left = _left_jacobians(parameters[num_lenses:].reshape(-1, 3))
        for sign, end, side in zip((1, -1), self.ends.T, self._sides(parameters), strict=True):
            lens = 2 * self.lens[end]
            by_lens = sign * scale[:, None, None] * side.by_lens
            by_lens[:, :, 0] += between / 2
            by_turn = sign * scale[:, None, None] * (side.by_turn @ left[end])
            for k in range(2):
                found[every, :, lens + k] += by_lens[:, :, k]
            for k in range(3):
                found[every, :, num_lenses + 3 * end + k] += by_turn[:, :, k]
        return found

    def _scale(self, parameters: Array) -> Array:
        """(M,) focal length of each match, px."""
        log_focal = parameters[: 2 * len(self.cameras) : 2][self.lens]
        return np.asarray(np.exp(log_focal[self.ends].mean(axis=1)))

    def _sides(self, parameters: Array) -> tuple[_Rays, _Rays]:
        num_lenses = 2 * len(self.cameras)
        lenses = parameters[:num_lenses].reshape(-1, 2)
        cam_from_world = Rotation.from_rotvec(parameters[num_lenses:].reshape(-1, 3)).as_matrix()
        first, second = (
            _Rays.of(xy, lenses[self.lens[end]], cam_from_world[end])
            for end, xy in zip(self.ends.T, (self.first, self.second), strict=True)
        )
        return first, second


@dataclass(frozen=True, slots=True)
class _Rays:
    """Unit rays of one side of all matches, and their derivatives."""

    in_world: Array
    """(M, 3)."""
    by_lens: Array
    """(M, 3, 2) by log f and distortion."""
    by_turn: Array
    """(M, 3, 3) by a small rotation after `cam_from_world`."""

    @classmethod
    def of(cls, xy: Array, lenses: Array, cam_from_world: Array) -> _Rays:
        log_focal, distortion = lenses.T
        flat = xy / np.exp(log_focal)[:, None]
        squared = np.sum(flat**2, axis=1)
        shrunk = 1 / (1 + distortion * squared)
        of_lens = np.stack((2 * distortion * squared * shrunk**2 - shrunk, -squared * shrunk**2), axis=1)
        ray = np.column_stack((flat * shrunk[:, None], np.ones(len(flat))))
        length = np.linalg.norm(ray, axis=1, keepdims=True)
        unit = ray / length
        by_lens = np.zeros((len(flat), 3, 2))
        by_lens[:, :2] = flat[:, :, None] * of_lens[:, None, :]
        by_lens -= unit[:, :, None] * np.einsum("mi,mik->mk", unit, by_lens)[:, None, :]
        by_lens /= length[:, :, None]
        world_from_cam = np.swapaxes(cam_from_world, 1, 2)
        return cls(
            (world_from_cam @ unit[:, :, None])[:, :, 0],
            world_from_cam @ by_lens,
            world_from_cam @ cross_matrices(unit),
        )


def _left_jacobians(rotvecs: Array) -> Array:
    """(N, 3, 3): the rotation after that of a rotation vector that a change of the vector makes.

    Source: Sola et al., A micro Lie theory for state estimation in robotics, 2018, equation 145.
    """
    angle = np.maximum(np.linalg.norm(rotvecs, axis=1), 1e-6)[:, None, None]
    cross = cross_matrices(rotvecs)
    first, second = (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def _upper_quartile(distances: Array) -> float:
    """A quarter of the matches shows parallax, as where the camera stood still for most images."""
    return float(np.quantile(distances, 0.75))
