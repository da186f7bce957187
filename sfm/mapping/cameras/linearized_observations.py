"""Observations of one camera, linearised in intrinsics, poses and points."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pycolmap

from kernels.cross_matrices import cross_matrices

from ..measures.observations import points_of_second
from ..measures.residuals import noise_px, redundancy
from ..scene.camera_models import Freedom

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_MAX_IMAGES = 120
_MAX_OBSERVATIONS = 10_000  # as long as all images have their share; more only cost time
_TOGETHER = 32  # points of which it is decided at once whether they are taken
_HALF_WEIGHT = 2.5  # sigmas
MIN_SIGMA_PX = 0.01  # drawn points without noise leave only the solver's
NO_SECOND: Mapping[int, int] = MappingProxyType({})
"""All keypoints are of one matcher."""
_DELTA = 1e-6  # of a parameter, for its numerical derivative


@dataclass(frozen=True, slots=True, eq=False)
class LinearizedObservations:
    """Observations and their derivatives.

    Attributes:
        image: (M,) which image.
        point: (M,) which point.
        residual: (M, 2) projected minus observed, px.
        by_intrinsics: (M, 2, D) by the directions of a camera's `Freedom`; zero for images of other cameras.
        by_pose: (M, 2, 6) by a small rotation and a shift in the camera's frame; lengths in units of the
            images' mean distance from their middle.
        by_point: (M, 2, 3) by the point's position in the world; the same unit.
        weight: (M,) 1, less for residuals that are far off.
        xy: (M, 2) observed, px.
        own: images that the camera, or one of the cameras, took.
        image_ids: (N,) of the images.
        size: length that is one unit of the derivatives.
        num_images: images.
        num_points: points.
    """

    image: Indices
    point: Indices
    residual: Array
    by_intrinsics: Array
    by_pose: Array
    by_point: Array
    weight: Array
    xy: Array
    own: Indices
    image_ids: Indices
    size: float
    num_images: int
    num_points: int

    def where(self, mask: Mask) -> LinearizedObservations:
        """Those of the observations; images and points keep their indices."""
        return replace(
            self,
            image=self.image[mask],
            point=self.point[mask],
            residual=self.residual[mask],
            by_intrinsics=self.by_intrinsics[mask],
            by_pose=self.by_pose[mask],
            by_point=self.by_point[mask],
            weight=self.weight[mask],
            xy=self.xy[mask],
        )

    def of_several_images(self) -> LinearizedObservations:
        """Those of points that two images or more observe: one leaves the distance of a point open."""
        return self.where(np.bincount(self.point, minlength=self.num_points)[self.point] >= 2)

    @property
    def variance(self) -> float:
        """Of a residual's coordinate, px^2, less what poses and points take up; 0 where nothing is left."""
        free = 6 * len(np.unique(self.image)) + 3 * len(np.unique(self.point))
        redundant = 1 - free / max(2 * len(self.image), 1)
        total = float(np.sum(self.weight[:, None] * self.residual**2))
        if redundant <= 0 or not len(self.image):
            return 0.0
        return max(total / (2 * float(self.weight.sum()) * redundant), MIN_SIGMA_PX**2)


def gather(model: pycolmap.Reconstruction, camera_id: int, freedom: Freedom) -> LinearizedObservations:
    """Observations of the camera's images and those about them.

    Large models are judged by a part: images about the one that sees most, and points with long tracks.
    """
    return gather_of_cameras(model, {camera_id: freedom})


def gather_of_cameras(
    model: pycolmap.Reconstruction,
    freedoms: Mapping[int, Freedom],
    *,
    first_of_second: Mapping[int, int] = NO_SECOND,
    max_observations: int = _MAX_OBSERVATIONS,
) -> LinearizedObservations:
    """The same of several cameras, by id, which change together: all have the same number of directions.

    At about so many observations they are thinned out. Keypoints of a second matcher count by their own
    noise: residuals and derivatives are in units of the more exact matcher's.

    Args:
        model: as for `gather`.
        freedoms: of each camera.
        first_of_second: as `Scene.first_of_second`.
        max_observations: about how many are taken.
    """
    chosen = _nearby_images(model, freedoms.keys())
    num_directions = len(next(iter(freedoms.values())).names)
    if not chosen:
        return _nothing(num_directions)
    image, ids, xy = _observations(model, chosen, max_observations)
    points, point = np.unique(ids, return_inverse=True)
    xyz = np.array([model.point3D(int(i)).xyz for i in points]).reshape(-1, 3)
    centres = np.array([model.image(i).projection_center() for i in chosen])
    size = float(np.sqrt(np.mean(np.sum((centres - centres.mean(axis=0)) ** 2, axis=1)))) or 1.0
    own = np.array([i for i, image_id in enumerate(chosen) if model.image(image_id).camera_id in freedoms])
    parts = []
    for i, image_id in enumerate(chosen):
        one = image == i
        photo = model.image(image_id)
        free = freedoms.get(photo.camera_id)
        camera = free.camera if free else model.camera(photo.camera_id)
        directions = free.directions if free else np.zeros((len(camera.params), num_directions))
        parts.append(_linearised(camera, directions, photo.cam_from_world(), xyz[point[one]], xy[one], size))
    residual, by_intrinsics, by_pose, by_point = map(np.concatenate, zip(*parts, strict=True))
    if first_of_second:
        is_second = np.isin(points, points_of_second(model, first_of_second))[point]
        unit = _units(np.linalg.norm(residual, axis=1), point, is_second)[:, None]
        residual = unit * residual
        by_intrinsics, by_pose, by_point = (unit[:, None] * one for one in (by_intrinsics, by_pose, by_point))
    seen = LinearizedObservations(
        image=image,
        point=point,
        residual=residual,
        by_intrinsics=by_intrinsics,
        by_pose=by_pose,
        by_point=by_point,
        weight=_weights(residual),
        xy=xy,
        own=own,
        image_ids=np.array(chosen),
        size=size,
        num_images=len(chosen),
        num_points=len(points),
    )
    finite = np.isfinite(residual).all(axis=1) & np.isfinite(by_intrinsics).all(axis=(1, 2))
    return seen.where(finite & np.isfinite(by_pose).all(axis=(1, 2))).of_several_images()


def _nothing(num_directions: int) -> LinearizedObservations:
    none = np.zeros(0, np.int64)
    return LinearizedObservations(
        image=none,
        point=none,
        residual=np.zeros((0, 2)),
        by_intrinsics=np.zeros((0, 2, num_directions)),
        by_pose=np.zeros((0, 2, 6)),
        by_point=np.zeros((0, 2, 3)),
        weight=np.zeros(0),
        xy=np.zeros((0, 2)),
        own=none,
        image_ids=none,
        size=1.0,
        num_images=0,
        num_points=0,
    )


def _nearby_images(model: pycolmap.Reconstruction, camera_ids: Collection[int]) -> Sequence[int]:
    """Ids of images about the one that sees most, those of the cameras before others."""
    ids = sorted(i for i in model.reg_image_ids() if model.image(i).num_points3D)
    if len(ids) <= _MAX_IMAGES:
        return ids
    own = [i for i in ids if model.image(i).camera_id in camera_ids] or ids
    middle = model.image(max(own, key=lambda i: (model.image(i).num_points3D, -i))).projection_center()

    def rank(image_id: int) -> tuple[bool, float]:
        image = model.image(image_id)
        return image.camera_id not in camera_ids, float(np.linalg.norm(image.projection_center() - middle))

    return sorted(sorted(ids, key=rank)[:_MAX_IMAGES])


def _observations(
    model: pycolmap.Reconstruction, image_ids: Sequence[int], max_observations: int
) -> tuple[Indices, Indices, Array]:
    """Index of the image (M,), id of the point (M,) and position (M, 2) px of those that are taken.

    Where two keypoints of an image observe one point, the first: an image counts once.
    """
    seen = [model.image(image_id).get_observation_points2D() for image_id in image_ids]
    of_image = [np.array([one.point3D_id for one in points2D], np.int64) for points2D in seen]
    first = [np.sort(np.unique(ids, return_index=True)[1]) for ids in of_image]
    image = np.repeat(np.arange(len(seen)), [len(kept) for kept in first])
    ids = np.concatenate([ids[kept] for ids, kept in zip(of_image, first, strict=True)])
    kept = _longest_tracks(image, ids, len(image_ids), max_observations)
    image, ids, at = image[kept], ids[kept], np.concatenate(first)[kept]
    # Each position that is read is an object of its own: only those that are taken.
    xy = [seen[i][k].xy for i, k in zip(image.tolist(), at.tolist(), strict=True)]
    return image, ids, np.array(xy, np.float64).reshape(-1, 2)


def _longest_tracks(image: Indices, ids: Indices, num_images: int, max_observations: int) -> Mask:
    """Which observations stay: of points that two images see, the longest tracks of each image."""
    points, point, length = np.unique(ids, return_inverse=True, return_counts=True)
    if length[length >= 2].sum() <= max_observations:
        return np.asarray(length[point] >= 2)
    share = max_observations / num_images
    count = np.zeros(num_images, np.int64)
    kept = np.zeros(len(points), bool)
    of_point = np.argsort(point, kind="stable")
    starts = np.concatenate(([0], np.cumsum(length)))
    order = np.argsort(-length, kind="stable")[: np.count_nonzero(length >= 2)]
    for some in np.array_split(order, -(-len(order) // _TOGETHER)):
        rows = np.concatenate([of_point[starts[i] : starts[i + 1]] for i in some.tolist()])
        lacks = np.logical_or.reduceat(count[image[rows]] < share, np.cumsum(length[some]) - length[some])
        kept[some] = lacks
        count += np.bincount(image[rows], np.repeat(lacks, length[some]), num_images).astype(np.int64)
        if count.min() >= share:
            break
    return np.asarray(kept[point])


def _units(length: Array, point: Indices, is_second: Mask) -> Array:
    """(M,) 1, and less for observations of the matcher with more noise, as many times as its noise is larger.

    The fewer observations a point has, the more of their noise it takes up: three of 2 n coordinates.
    """
    num = np.bincount(point)[point]
    noise = length / np.sqrt(redundancy(num))
    medians = [float(np.nanmedian(noise[of])) if of.any() else 0.0 for of in (~is_second, is_second)]
    if min(medians) <= 0:
        return np.ones(len(length))
    return np.where(is_second, min(1.0, medians[0] / medians[1]), min(1.0, medians[1] / medians[0]))


def _weights(residual: Array) -> Array:
    """(M,) Cauchy's: the adjustment has filtered by a threshold that is many sigmas wide."""
    length = np.linalg.norm(residual, axis=1)
    sigma = noise_px(length[~np.isnan(length)])
    return np.asarray(1 / (1 + (length / max(_HALF_WEIGHT * sigma, 1e-9)) ** 2))


def _linearised(
    camera: pycolmap.Camera,
    directions: Array,
    cam_from_world: pycolmap.Rigid3d,
    xyz: Array,
    xy: Array,
    size: float,
) -> tuple[Array, Array, Array, Array]:
    """Residuals of one image, and derivatives by intrinsics, pose and points."""
    inside = cam_from_world * xyz
    residual = np.asarray(camera.img_from_cam(inside)) - xy
    by_intrinsics = np.zeros((len(xy), 2, directions.shape[1]))
    if directions.any():
        by_intrinsics = _by_params(camera, inside) @ directions
    by_camera = _by_position(camera, inside)
    by_pose = np.concatenate((by_camera @ -cross_matrices(inside), size * by_camera), axis=2)
    return residual, by_intrinsics, by_pose, size * by_camera @ cam_from_world.rotation.matrix()


def _by_params(camera: pycolmap.Camera, xyz: Array) -> Array:
    """(M, 2, P) central differences by the camera's parameters."""
    changed = pycolmap.Camera(camera.todict())
    columns = []
    for index, value in enumerate(camera.params):
        delta = _DELTA * max(1.0, abs(float(value)))
        ends = []
        for sign in (1, -1):
            params = np.array(camera.params)
            params[index] += sign * delta
            changed.params = params.tolist()
            ends.append(np.asarray(changed.img_from_cam(xyz)))
        columns.append((ends[0] - ends[1]) / (2 * delta))
    return np.stack(columns, axis=2)


def _by_position(camera: pycolmap.Camera, xyz: Array) -> Array:
    """(M, 2, 3) central differences by the point's position in the camera's frame."""
    delta = _DELTA * np.linalg.norm(xyz, axis=1, keepdims=True)
    columns = []
    for axis in np.eye(3):
        ends = [np.asarray(camera.img_from_cam(xyz + sign * delta * axis)) for sign in (1, -1)]
        columns.append((ends[0] - ends[1]) / (2 * delta))
    return np.stack(columns, axis=2)
