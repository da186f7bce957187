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
from scipy import sparse
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

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
    error, turned = model.compute_mean_reprojection_error(), pure_rotation_error_px(scene, model)
    if turned is None or turned > _AS_WELL * error:
        return ""
    return (
        f"photos that only turned on one spot explain its matches as well ({turned:.2f} px, the model "
        f"{error:.2f} px): where they were taken cannot be told"
    )


def pure_rotation_error_px(scene: Scene, model: pycolmap.Reconstruction) -> float | None:
    """The median distance of matches, px, that rotations about one spot and free lenses leave.

    Of a dozen images that share most matches; None where the model has no verified pair.
    """
    ids = {model.image(image_id).name: image_id for image_id in model.reg_image_ids()}
    matches = _Matches.of(scene, model, _close_images(scene, frozenset(ids)), ids)
    if matches is None:
        return None
    lower, start, upper = matches.lenses(model)
    turns = matches.rotations(model).as_rotvec().ravel()
    free = np.full(len(turns), np.inf)

    def residuals(parameters: Array) -> Array:
        return matches.residuals(parameters).ravel()

    found = least_squares(
        residuals,
        np.concatenate((start, turns)),
        bounds=(np.concatenate((lower, -free)), np.concatenate((upper, free))),
        loss="soft_l1",
        x_scale="jac",
        jac_sparsity=matches.dependencies(),
        max_nfev=100,
    )
    return float(np.median(np.linalg.norm(matches.residuals(found.x), axis=1)))


def _close_images(scene: Scene, names: frozenset[str]) -> list[str]:
    """Images one after the other, each the one that shares most matches with those before it."""
    graph = scene.view_graph.restricted(names)
    chosen: list[str] = []
    inliers = {min(names, key=lambda name: (-graph.degree(name), name)): 0}
    while len(chosen) < _MAX_IMAGES and inliers:
        name = min(inliers, key=lambda name: (-inliers[name], name))
        del inliers[name]
        chosen.append(name)
        for other in graph.neighbours(name):
            if other not in chosen:
                inliers[other] = inliers.get(other, 0) + graph.num_inliers(name, other)
    return sorted(chosen)


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

    def dependencies(self) -> sparse.csr_array:
        """(3 M, P) which residual depends on which parameter: on both turns and both lenses of its match."""
        num_lenses = 2 * len(self.cameras)
        lens = 2 * self.lens[self.ends][:, :, None] + np.arange(2)
        turn = num_lenses + 3 * self.ends[:, :, None] + np.arange(3)
        columns = np.concatenate((lens, turn), axis=2).reshape(len(self.ends), -1)
        rows = np.repeat(np.arange(3 * len(self.ends)), columns.shape[1])
        ones = np.ones(len(rows))
        shape = 3 * len(self.ends), num_lenses + 3 * len(self.images)
        return sparse.csr_array((ones, (rows, np.repeat(columns, 3, axis=0).ravel())), shape=shape)

    def residuals(self, parameters: Array) -> Array:
        """(M, 3) px: what is between both rays of a match in the world, times the focal length."""
        lenses = parameters[: 2 * len(self.cameras)].reshape(-1, 2)
        world_from_cam = Rotation.from_rotvec(parameters[2 * len(self.cameras) :].reshape(-1, 3)).inv()
        rays, focals = [], []
        for image, xy in zip(self.ends.T, (self.first, self.second), strict=True):
            log_focal, distortion = lenses[self.lens[image]].T
            focal = np.exp(log_focal)
            flat = xy / focal[:, None]
            flat = flat / (1 + distortion * np.sum(flat**2, axis=1))[:, None]
            ray = np.column_stack((flat, np.ones(len(flat))))
            rays.append(world_from_cam[image].apply(ray / np.linalg.norm(ray, axis=1, keepdims=True)))
            focals.append(focal)
        return np.asarray((rays[0] - rays[1]) * np.sqrt(focals[0] * focals[1])[:, None])


def _centred(
    scene: Scene, model: pycolmap.Reconstruction, image_id: int, rows: npt.NDArray[np.uint32]
) -> Array:
    """Some keypoints of an image, px from its principal point, (N, 2)."""
    camera = model.camera(model.image(image_id).camera_id)
    centre = camera.principal_point_x, camera.principal_point_y
    return scene.keypoints(image_id)[rows].astype(np.float64) - centre
