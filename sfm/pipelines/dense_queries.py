"""Which points of a model a query shows and where, by asking the network for each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import ConfigError
from sfm.matching import Backend
from sfm.matching.dense.inference.pixel_queries import PixelQueries

DENSE_PARTNERS = 20
"""Photos of the model whose points a query is asked for."""
_MAX_POINTS = 100_000
_MIN_ERROR_PX, _OF_DIAGONAL = 5.0, 0.008
"""Largest error of an inlier, and at least this share of the photo's diagonal."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Points of a model that a query shows.

    Attributes:
        xy: (N, 2), where, px.
        points: N ids of points, none twice in a dense query.
        partners: N photos of the model that see the points.
    """

    xy: Array
    points: Sequence[int]
    partners: Sequence[str]


def pixel_queries(backend: Backend) -> Callable[[], PixelQueries]:
    """What asks the network of a backend, once the photos are described.

    Raises:
        ConfigError: the backend has no network for that.
    """
    from sfm.matching.dense.backend import Mast3rBackend

    if not isinstance(backend, Mast3rBackend):
        raise ConfigError(
            f"--dense asks the network of backend mast3r about pixels, and this is backend {backend.name}",
            hint="leave --dense out, or make the model with backend=mast3r",
        )
    return backend.pixel_queries


def dense_error_px(width: int, height: int) -> float:
    """Largest error of an inlier: a match is exact to about a pixel of the network's image."""
    return max(_MIN_ERROR_PX, _OF_DIAGONAL * math.hypot(width, height))


def observations(
    queries: PixelQueries, models: Sequence[pycolmap.Reconstruction], name: str, partners: Sequence[str]
) -> tuple[list[Observations], dict[str, str]]:
    """The points of each model that its photos among the partners see, and the query too.

    Also the partners that the query could not be compared with, and why, such as for lack of memory.
    """
    failed: dict[str, str] = {}
    return [_of_model(queries, model, name, partners, failed) for model in models], failed


def _of_model(
    queries: PixelQueries,
    model: pycolmap.Reconstruction,
    name: str,
    partners: Sequence[str],
    failed: dict[str, str],
) -> Observations:
    found = list(_seen(queries, model, name, partners, failed))
    if not found:
        return Observations(np.zeros((0, 2)), [], [])
    points, positions, confidence, owners = (np.concatenate(part) for part in zip(*found, strict=True))
    rows = np.argsort(-confidence, kind="stable")[:_MAX_POINTS]
    order = rows[np.argsort(points[rows], kind="stable")]
    ids, starts = np.unique(points[order], return_index=True)
    groups = np.split(order, starts[1:])
    # A point counts once: matches of it are not independent.
    near = queries.photos.maps[name].photo_px
    xy = np.array([_agreed(positions[group], near) for group in groups])
    best = [partners[owners[group[np.argmax(confidence[group])]]] for group in groups]
    return Observations(xy, ids.tolist(), best)


def _agreed(positions: Array, near: float) -> Array:
    """The mean of the positions (N, 2) that lie within `near` of their median; else that median (2,)."""
    median = np.median(positions, axis=0)
    close = np.linalg.norm(positions - median, axis=1) <= near
    return np.asarray(positions[close].mean(axis=0) if close.any() else median)


def _seen(
    queries: PixelQueries,
    model: pycolmap.Reconstruction,
    name: str,
    partners: Sequence[str],
    failed: dict[str, str],
) -> Iterator[tuple[NDArray[np.int64], Array, Array, NDArray[np.int64]]]:
    """Of each partner: ids of points that the query shows, where, how surely, and the partner's number."""
    images = {model.image(i).name: model.image(i) for i in model.reg_image_ids()}
    for number, partner in enumerate(partners):
        if partner not in images:
            continue
        ids, starts = _projected(model, images[partner])
        if not len(ids):
            continue
        shown = queries.shown(name, partner, starts)
        if isinstance(shown, str):
            failed[partner] = shown
        elif len(shown.rows):
            yield ids[shown.rows], shown.xy, shown.confidence, np.full(len(shown.rows), number)


def _projected(model: pycolmap.Reconstruction, image: pycolmap.Image) -> tuple[NDArray[np.int64], Array]:
    """Ids (N,) of the points that an image observes, and where they lie in it by its pose (N, 2), px.

    The projection of a point is more exact than the keypoint: it is from all images that see the point.
    """
    ids = np.array([point.point3D_id for point in image.get_observation_points2D()], np.int64)
    if not len(ids):
        return ids, np.zeros((0, 2))
    pose = image.cam_from_world()
    xyz = np.array([model.point3D(int(i)).xyz for i in ids])
    in_camera = xyz @ pose.rotation.matrix().T + pose.translation
    xy = np.asarray(model.camera(image.camera_id).img_from_cam(in_camera), np.float64)
    whole = np.isfinite(xy).all(axis=1)
    return ids[whole], xy[whole]
