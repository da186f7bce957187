"""Which points of a model a query shows and where, by asking the network for each of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import ConfigError
from sfm.exports.exported_depth import ExportedDepth
from sfm.matching import Backend
from sfm.matching.dense.backend import Mast3rBackend
from sfm.matching.dense.inference.pixel_queries import PixelQueries

DENSE_PARTNERS = 20
"""Photos of the model whose points a query is asked for."""
_MAX_POINTS = 100_000
_MIN_ERROR_PX, _OF_DIAGONAL = 5.0, 0.008
"""Largest error of an inlier, and at least this share of the photo's diagonal."""

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Points of a model that a query shows.

    Attributes:
        xy: (N, 2), where, px.
        xyz: (N, 3), the points, none twice in a dense query.
        partners: N photos of the model that see the points.
    """

    xy: Array
    xyz: Array
    partners: Sequence[str]


@dataclass(slots=True)
class DenseQueries:
    """Asks the network of a backend, once the photos are described."""

    backend: Mast3rBackend
    cameras: Mapping[str, pycolmap.Camera] | None
    """Of photos whose intrinsics are known; None without windows of large photos."""
    depth: ExportedDepth | None
    """Gives the points, in place of the model's own."""
    _queries: PixelQueries | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, backend: Backend, cameras: Mapping[str, pycolmap.Camera] | None, depth: ExportedDepth | None
    ) -> DenseQueries:
        """Raises ConfigError where the backend has no network for that."""
        if not isinstance(backend, Mast3rBackend):
            raise ConfigError(
                f"--dense asks the network of backend mast3r, and this is backend {backend.name}",
                hint="leave --dense out, or make the model with backend=mast3r",
            )
        return cls(backend, cameras, depth)

    @property
    def queries(self) -> PixelQueries:
        """Made once, with the windows that it has encoded."""
        if self._queries is None:
            self._queries = self.backend.pixel_queries(self.cameras)
        return self._queries

    def observations(
        self, models: Sequence[pycolmap.Reconstruction], name: str, partners: Sequence[str]
    ) -> tuple[list[Observations], dict[str, str]]:
        """The points of each model that its photos among the partners see, and the query too.

        Also the partners that the query could not be compared with, and why, such as for lack of memory.

        Raises:
            InputError: as `ExportedDepth.points`.
        """
        failed: dict[str, str] = {}
        return [self._of_model(model, name, partners, failed) for model in models], failed

    def _of_model(
        self,
        model: pycolmap.Reconstruction,
        name: str,
        partners: Sequence[str],
        failed: dict[str, str],
    ) -> Observations:
        found = list(self._seen(model, name, partners, failed))
        if not found:
            return Observations(np.zeros((0, 2)), np.zeros((0, 3)), [])
        ids, xyz, xy, confidence, owners = (np.concatenate(part) for part in zip(*found, strict=True))
        near = self.queries.matched_px(name)
        if self.depth is not None:
            # Points of depth lie apart in all partners: those in one pixel of the query are not independent.
            columns = 1 + int(xy[:, 0].max() / near)
            ids = (xy // near).astype(np.int64) @ np.array([1, columns])
        rows = np.argsort(-confidence, kind="stable")[:_MAX_POINTS]
        order = rows[np.argsort(ids[rows], kind="stable")]
        starts = np.unique(ids[order], return_index=True)[1]
        best = order[starts]  # within equals the most confident is first
        if self.depth is None:
            # A point counts once: matches of it are not independent.
            xy[best] = [_agreed(xy[group], near) for group in np.split(order, starts[1:])]
        return Observations(xy[best], xyz[best], [partners[owner] for owner in owners[best]])

    def _seen(
        self,
        model: pycolmap.Reconstruction,
        name: str,
        partners: Sequence[str],
        failed: dict[str, str],
    ) -> Iterator[tuple[Ids, Array, Array, Array, Ids]]:
        """Of each partner: ids of points that the query shows, the points, where, how surely, and the
        partner's number."""
        images = {model.image(i).name: model.image(i) for i in model.reg_image_ids()}
        for number, partner in enumerate(partners):
            if partner not in images:
                continue
            ids, xyz, starts = self._points(model, images[partner], len(partners))
            if not len(ids):
                continue
            shown = self.queries.shown(name, partner, starts)
            if isinstance(shown, str):
                failed[partner] = shown
            elif len(rows := shown.rows):
                yield ids[rows], xyz[rows], shown.xy, shown.confidence, np.full(len(rows), number)

    def _points(
        self, model: pycolmap.Reconstruction, image: pycolmap.Image, num_partners: int
    ) -> tuple[Ids, Array, Array]:
        """Ids (N,), points (N, 3) and pixels (N, 2) that a query is asked for."""
        if self.depth is None:
            return _projected(model, image)
        limit = math.ceil(_MAX_POINTS / num_partners)
        starts, xyz = self.depth.points(image, model.camera(image.camera_id), limit)
        return np.arange(len(xyz)), xyz, starts


def dense_error_px(width: int, height: int) -> float:
    """Largest error of an inlier: a match is exact to about a pixel of the network's image."""
    return max(_MIN_ERROR_PX, _OF_DIAGONAL * math.hypot(width, height))


def _agreed(positions: Array, near: float) -> Array:
    """The mean of the positions (N, 2) that lie within `near` of their median; else that median (2,)."""
    median = np.median(positions, axis=0)
    close = np.linalg.norm(positions - median, axis=1) <= near
    return np.asarray(positions[close].mean(axis=0) if close.any() else median)


def _projected(model: pycolmap.Reconstruction, image: pycolmap.Image) -> tuple[Ids, Array, Array]:
    """The points that an image observes: ids (N,), world (N, 3), and where they lie in it by its pose, px.

    The projection of a point is more exact than the keypoint: it is from all images that see the point.
    """
    ids = np.array([point.point3D_id for point in image.get_observation_points2D()], np.int64)
    if not len(ids):
        return ids, np.zeros((0, 3)), np.zeros((0, 2))
    pose = image.cam_from_world()
    xyz = np.array([model.point3D(int(i)).xyz for i in ids])
    in_camera = xyz @ pose.rotation.matrix().T + pose.translation
    xy = np.asarray(model.camera(image.camera_id).img_from_cam(in_camera), np.float64)
    whole = np.isfinite(xy).all(axis=1)
    return ids[whole], xyz[whole], xy[whole]
