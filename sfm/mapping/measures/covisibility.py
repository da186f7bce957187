"""Covisibility of images predicted from the poses of a model instead of from matches.

A point of one image is predicted in another if it projects inside it under a similar angle and at a similar
size. It must not lie behind the points that the other image observes there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from retrieval import Pair

from ..scene.bearings import depths
from .observations import PointTable

Array = NDArray[np.float64]

_POINTS_PER_IMAGE = 100
_NEAR_IMAGES = 40
"""Images compared with each image: those whose observed points lie nearest in the middle."""
_MAX_ANGLE_COS = float(np.cos(np.deg2rad(40.0)))
"""SIFT and the network match surfaces turned by less than this."""
_MAX_SCALE = 2.5
_GRID = 8
_BEHIND = 1.25
"""Times the depth that an image observes around: beyond, a point is taken for hidden."""


@dataclass(frozen=True, slots=True)
class View:
    """What a registered image sees."""

    name: str
    camera: pycolmap.Camera
    cam_from_world: pycolmap.Rigid3d
    centre: Array
    observed: NDArray[np.int64]
    """Ids of all points that it observes."""
    ids: NDArray[np.int64]
    """(n,) some of them."""
    xyz: Array
    """(n, 3) where these are, in the world."""
    depth: Array
    """(grid cells,) median depth of all that it observes, NaN where nothing."""


@dataclass(frozen=True, slots=True)
class PredictedCovisibility:
    """What the registered images of a model see, read from it once; a change of the model doesn't show."""

    views: tuple[View, ...]

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> PredictedCovisibility:
        """Images that observe no point see nothing."""
        points = PointTable.of(model)
        views = (_view(model, points, model.image(i)) for i in sorted(model.reg_image_ids()))
        return cls(tuple(view for view in views if view))

    def overlaps(self) -> dict[Pair, float]:
        """Share of the points of each of two images predicted in the other, the smaller one, above 0.

        Images far from each other are not compared: cost is linear in the number of images.
        """
        views = self.views
        if len(views) < 2:
            return {}
        middles = np.array([np.median(view.xyz, axis=0) for view in views])
        count = min(len(views), _NEAR_IMAGES + 1)
        near = np.asarray(cKDTree(middles).query(middles, k=count)[1], np.int64)
        shares: dict[tuple[int, int], float] = {}
        for b, others in enumerate(near.tolist()):
            rows = [a for a in others if a != b]
            for a, share in zip(rows, _shares([views[a] for a in rows], views[b]), strict=True):
                shares[a, b] = share
        overlaps: dict[Pair, float] = {}
        for (a, b), share in shares.items():
            both = min(share, shares.get((b, a), 0.0))
            if a < b and both > 0:
                overlaps[Pair.of(views[a].name, views[b].name)] = both
        return overlaps


def predicted_overlaps(model: pycolmap.Reconstruction) -> dict[Pair, float]:
    """`PredictedCovisibility.overlaps` of all images of a model."""
    return PredictedCovisibility.of(model).overlaps()


def _view(model: pycolmap.Reconstruction, points: PointTable, image: pycolmap.Image) -> View | None:
    observed = [point.point3D_id for point in image.get_observation_points2D()]
    if not observed:
        return None
    xyz = points.xyz_of(observed)
    camera, pose = model.camera(image.camera_id), image.cam_from_world()
    in_cam = np.asarray(pose * xyz)
    cells, inside = _cells(camera, in_cam)
    depth = _medians(cells[inside], depths(in_cam[inside], camera))
    chosen = np.linspace(0, len(xyz) - 1, min(len(xyz), _POINTS_PER_IMAGE)).astype(np.int64)
    ids = np.array(observed, np.int64)
    return View(image.name, camera, pose, image.projection_center(), ids, ids[chosen], xyz[chosen], depth)


def near_points(
    sources: Sequence[View], target: View, *, max_angle_deg: float, max_scale: float
) -> Iterator[tuple[View, NDArray[np.int64], Array]]:
    """Of each source the points that the target is predicted to see almost as the source does.

    Yields:
        The source, the ids (n,) of some of its points, and the angles (n,) between both rays, degrees.
    """
    seen, cosines = _seen(sources, target, cos=float(np.cos(np.deg2rad(max_angle_deg))), scale=max_scale)
    ends = np.cumsum([len(view.ids) for view in sources])
    for view, end in zip(sources, ends.tolist(), strict=True):
        own = slice(end - len(view.ids), end)
        angles = np.rad2deg(np.arccos(np.clip(cosines[own][seen[own]], -1, 1)))
        yield view, view.ids[seen[own]], angles


def _shares(sources: Sequence[View], target: View) -> list[float]:
    """Of each source's points the share that the target is predicted to see."""
    if not sources:
        return []
    counts = [len(view.xyz) for view in sources]
    seen = _seen(sources, target, cos=_MAX_ANGLE_COS, scale=_MAX_SCALE)[0]
    starts = np.cumsum([0, *counts[:-1]])
    shares = np.add.reduceat(seen.astype(np.int64), starts) / counts
    return [float(share) for share in shares]


def _seen(
    sources: Sequence[View], target: View, *, cos: float, scale: float
) -> tuple[NDArray[np.bool_], Array]:
    """Which points (n,) of the sources the target is predicted to see, and the cosines between both rays.

    They are seen within an angle of this cosine, and a ratio of the distances of this scale.
    """
    xyz = np.concatenate([view.xyz for view in sources])
    counts = [len(view.xyz) for view in sources]
    centres = np.repeat([view.centre for view in sources], counts, axis=0)
    in_cam = np.asarray(target.cam_from_world * xyz)
    cells, seen = _cells(target.camera, in_cam)
    from_source, from_target = xyz - centres, xyz - target.centre
    far, near = np.linalg.norm(from_source, axis=1), np.linalg.norm(from_target, axis=1)
    ratio = far / np.maximum(near, 1e-12)
    cosines = np.einsum("ij,ij->i", from_source, from_target) / np.maximum(far * near, 1e-12)
    seen &= (cosines >= cos) & (ratio <= scale) & (ratio >= 1 / scale)
    around = target.depth[cells]
    seen &= np.isnan(around) | (depths(in_cam, target.camera) <= _BEHIND * around)
    return seen, cosines


def _medians(cells: NDArray[np.int64], values: Array) -> Array:
    """The median of the values (N,) in each cell of the grid, NaN where there are none; (grid cells,)."""
    medians = np.full(_GRID * _GRID, np.nan)
    ranked = values[np.lexsort((values, cells))]
    found, begin, count = np.unique(np.sort(cells), return_index=True, return_counts=True)
    medians[found] = (ranked[begin + (count - 1) // 2] + ranked[begin + count // 2]) / 2
    return medians


def _cells(camera: pycolmap.Camera, in_cam: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Grid cell in which each point (n, 3) of the camera's frame is seen, and whether it is seen at all."""
    in_front = depths(in_cam, camera) > 1e-9
    safe = np.where(in_front[:, None], in_cam, (0.0, 0.0, 1.0))
    uv = np.asarray(camera.img_from_cam(safe)) / (camera.width, camera.height)
    seen = in_front & np.all((uv >= 0) & (uv < 1), axis=1)
    column, row = np.clip(np.nan_to_num(uv * _GRID), 0, _GRID - 1).astype(np.int64).T
    return row * _GRID + column, seen
