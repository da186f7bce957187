"""Whether rotations about one centre explain the matches of a model as well as its poses do.

With a wrong focal length, matches of a pure rotation bend as by a slight motion past distant points, with
small residuals. So the residuals of rotations with a free focal length and distortion are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from kernels.cross_matrices import cross_matrices
from retrieval import Pair

from ..scene.scene import Scene

_PLANAR = ("planar", "panoramic", "planar_or_panoramic")
_MOSTLY = 0.9
"""Of the pairs: where fewer fit a homography, images have moved past something that isn't flat."""
_AS_WELL = 3.0
"""Ratio of the mean residual with rotations alone to the mean reprojection error, up to which rotations
explain the matches."""
_MAX_IMAGES = 12
_MAX_MATCHES = 40  # of a pair
_FOCAL_RANGE = 0.3, 3.0  # of the longer side, where no focal length is given
_GIVEN_RANGE = 0.95, 1.05  # of the focal length that is
_MAX_DISTORTION = 0.5

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def why_pure_rotation(scene: Scene, model: pycolmap.Reconstruction) -> str:
    """The reason why a model determines no camera positions, in words; empty where it does.

    Spherical cameras are not asked: they have no focal length that a rotation could make up for.
    """
    if any(camera.is_spherical() for camera in model.cameras.values()):
        return ""
    names = {model.image(i).name for i in model.reg_image_ids()}
    edges = [edge for pair, edge in scene.view_graph.edges.items() if names.issuperset(pair)]
    if sum(edge.config in _PLANAR for edge in edges) < _MOSTLY * max(len(edges), 1):
        return ""
    error = model.compute_mean_reprojection_error()
    turned = pure_rotation_error_px(scene, model, still_px=_AS_WELL * error)
    if turned is None or turned > _AS_WELL * error:
        return ""
    return (
        f"photos that only turned on one spot explain its matches as well ({turned:.2f} px, the model "
        f"{error:.2f} px): where they were taken cannot be told"
    )


def pure_rotation_error_px(scene: Scene, model: pycolmap.Reconstruction, *, still_px: float) -> float | None:
    """The median distance of matches, px, that rotations about one spot and free lenses leave.

    Of a dozen images that share most matches; None where the model has no verified pair. Of images for which
    the camera stood still there is one: rotations explain their matches wherever it went before and after.
    It did where matches are displaced by less than `still_px`, in the median.
    """
    ids = {model.image(image_id).name: image_id for image_id in model.reg_image_ids()}
    images = _close_images(scene, frozenset(ids), still_px)
    if len(images) == 1:  # it never moved
        images = _close_images(scene, frozenset(ids), 0.0)
    matches = _Matches.of(scene, model, images, ids)
    if matches is None:
        return None
    lower, start, upper = matches.lenses(model)
    turns = matches.rotations(model).as_rotvec().ravel()
    free = np.full(len(turns), np.inf)

    def residuals(parameters: Array) -> Array:
        return matches.residuals(parameters).ravel()

    def jacobian(parameters: Array) -> Array:
        return matches.jacobian(parameters).reshape(-1, len(parameters))

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
    return float(np.median(np.linalg.norm(matches.residuals(found.x), axis=1)))


def _close_images(scene: Scene, names: frozenset[str], still_px: float) -> list[str]:
    """Images one after the other, each the one that shares most matches with those before it.

    Images whose matches to one of these are displaced by less than `still_px`, in the median, are left out.
    """
    graph = scene.view_graph.restricted(names)
    chosen, known = list[str](), set[str]()
    inliers = {min(names, key=lambda name: (-graph.degree(name), name)): 0}
    while len(chosen) < _MAX_IMAGES and inliers:
        name = min(inliers, key=lambda name: (-inliers[name], name))
        del inliers[name]
        known.add(name)
        if any(_displacement_px(scene, name, other) < still_px for other in chosen):
            continue
        chosen.append(name)
        for other in graph.neighbours(name):
            if other not in known:
                inliers[other] = inliers.get(other, 0) + graph.num_inliers(name, other)
    return sorted(chosen)


def _displacement_px(scene: Scene, name: str, other: str) -> float:
    """Median distance between where both images have a match, px; infinite where they share none."""
    pair = Pair.of(name, other)
    rows = scene.matches(pair)
    if not len(rows):
        return np.inf
    first, second = (scene.keypoints(scene.id_of[of])[rows[:, side]] for side, of in enumerate(pair))
    return float(np.median(np.linalg.norm(first - second, axis=1)))


@dataclass(frozen=True, slots=True)
class _Matches:
    """Matches between some images; the parameters are log f and distortion of each lens, then the turns."""

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

    @classmethod
    def of(
        cls, scene: Scene, model: pycolmap.Reconstruction, names: Sequence[str], ids: dict[str, int]
    ) -> _Matches | None:
        images = [ids[name] for name in names]
        cameras = sorted({model.image(i).camera_id for i in images})
        ends, sides = [], []
        for b, name_b in enumerate(names):
            for a, name_a in enumerate(names[:b]):
                rows = scene.matches(Pair(name_a, name_b))
                rows = rows[:: 1 + len(rows) // _MAX_MATCHES]
                ends += [(a, b)] * len(rows)
                sides.append(
                    np.hstack([_centred(scene, model, images[k], rows[:, j]) for j, k in enumerate((a, b))])
                )
        if not ends:
            return None
        lens = np.array([cameras.index(model.image(i).camera_id) for i in images])
        both = np.concatenate(sides)
        return cls(images, cameras, lens, np.array(ends), both[:, :2], both[:, 2:])

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

    def rotations(self, model: pycolmap.Reconstruction) -> Rotation:
        """`cam_from_world` of each image."""
        return Rotation.from_matrix([model.image(i).cam_from_world().rotation.matrix() for i in self.images])

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


def _centred(
    scene: Scene, model: pycolmap.Reconstruction, image_id: int, rows: npt.NDArray[np.uint32]
) -> Array:
    """Some keypoints of an image, px from its principal point, (N, 2)."""
    camera = model.camera(model.image(image_id).camera_id)
    centre = camera.principal_point_x, camera.principal_point_y
    return scene.keypoints(image_id)[rows].astype(np.float64) - centre
