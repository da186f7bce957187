"""Photo-consistency: whether images show each other's points where a model predicts them.

Surfaces that two images rightly see in common look alike in both (Seitz and Dyer 1999, "Photorealistic Scene
Reconstruction by Voxel Coloring"). Where visual aliasing places images of one place beside those of another,
the repeated surface does, and what stands around it does not. Points that both observe are left out: matches
joined them, and those of a repeated surface look alike in any case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pycolmap
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from kernels.correlation import best_correlations
from retrieval import Pair

from ..scene.bearings import bearing_vectors, depths
from ..scene.photo_source import PhotoSource
from .covisibility import PredictedCovisibility, View, near_points
from .observations import PointTable

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

_MAX_ANGLE_DEG = 20.0
_MAX_SCALE = 1.5
_MIN_COMMON = 8
"""Points that both images of a pair observe: others may look at one place from both sides of a wall."""
_MAX_PARTNERS = 12
"""Of an image, from the one that shares most points with it to the one that shares fewest."""
_MATCHED_PER_PAIR = 10
_UNLIKE_SHARE = 0.05
_FALL = 0.3
"""Points look alike if their correlation is at most this far below the 5 % quantile of matched points, which
are those that look most alike."""
_LEAST = 0.2
"""No less: unrelated patches correlate more than this by chance, at the best of all shifts."""
_PRIOR_ALIKE = 8
"""A pair counts as if so many further points looked alike, which both observe."""
_BESIDE = 0.35
"""Of the mean distance between points that an image observes, were they spread evenly over it."""
_NEARER = 0.85
"""Of the depth of a point: it is taken for visible beside one that the image observes and that has more."""


def photo_consistencies(
    model: pycolmap.Reconstruction, photos: PhotoSource, *, covisibility: PredictedCovisibility | None = None
) -> dict[Pair, float]:
    """Log-odds that the images of a pair are rightly placed to each other, by the points that look alike.

    Only pairs with at least 8 common points are compared, some of each image. A point counts if the other
    image is predicted to see it (`PredictedCovisibility`) within 20 degrees and 1.5 times the size, beside a
    point that it observes. Pairs with a photo that cannot be read are left out.

    Args:
        model: left unchanged.
        photos: of its images.
        covisibility: of the model, where it is known.
    """
    constant, slope = _calibration()
    similar = similar_log_odds(model, photos, covisibility=covisibility)
    return {pair: constant + slope * odds for pair, odds in similar.items()}


def similar_log_odds(
    model: pycolmap.Reconstruction, photos: PhotoSource, *, covisibility: PredictedCovisibility | None = None
) -> dict[Pair, float]:
    """Log-odds that a point looks alike in both images, of the same pairs as `photo_consistencies`."""
    views = (covisibility or PredictedCovisibility.of(model)).views
    compared = list(_Compared.of_all(model, views, photos))
    if not compared:
        return {}
    matched = np.concatenate([one.matched for one in compared])
    least = max(np.quantile(matched, _UNLIKE_SHARE) - _FALL if len(matched) else 0.0, _LEAST)
    counts: dict[Pair, NDArray[np.int64]] = {}
    for one in compared:
        alike = np.count_nonzero(one.unobserved > least)
        number = np.array([alike, len(one.unobserved) - alike])
        counts[one.pair] = counts.get(one.pair, np.zeros(2, np.int64)) + number
    return {
        pair: float(np.log((alike + _PRIOR_ALIKE + 0.5) / (other + 0.5)))
        for pair, (alike, other) in sorted(counts.items())
    }


@cache
def _calibration() -> tuple[float, float]:
    text = files(__package__).joinpath("photo_consistency.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    return stored["constant"], stored["slope"]


@dataclass(frozen=True, slots=True)
class _Compared:
    """Correlations of points of one image with another that is predicted to see them."""

    pair: Pair
    matched: Array
    """Of some points that both observe, (N,)."""
    unobserved: Array
    """Of points that only the first observes, (M,)."""

    @classmethod
    def of_all(
        cls, model: pycolmap.Reconstruction, views: Sequence[View], photos: PhotoSource
    ) -> Iterator[_Compared]:
        """Of all pairs with enough common points, both ways."""
        points, of_target = PointTable.of(model), dict[str, _Observed]()
        for source, target, common, others in _predicted(model, views):
            first, second = _grey(photos, source), _grey(photos, target)
            if first is None or second is None:
                continue
            if target.name not in of_target:  # one after the other
                of_target = {target.name: _Observed.of(target, points)}
            xyz = points.xyz_of(others)
            visible = xyz[of_target[target.name].shows(xyz)]
            matched = points.xyz_of(common[:: -(-len(common) // _MATCHED_PER_PAIR) or 1])
            found = (_correlations(source, target, first, second, xyz) for xyz in (matched, visible))
            yield cls(Pair.of(source.name, target.name), *(values[np.isfinite(values)] for values in found))


def _predicted(model: pycolmap.Reconstruction, views: Sequence[View]) -> list[tuple[View, View, Ids, Ids]]:
    """Source, target, and the points that the target is predicted to see: those that it observes, and others.

    Of pairs with enough of the former.
    """
    observed = np.zeros(1 + max(model.point3D_ids(), default=0), bool)
    found: list[tuple[View, View, Ids, Ids]] = []
    num_common: dict[Pair, int] = {}
    for target, sources in _with_common_points(views, len(observed)):
        observed[target.observed] = True
        near = near_points(sources, target, max_angle_deg=_MAX_ANGLE_DEG, max_scale=_MAX_SCALE)
        for source, ids, _ in near:
            again, pair = observed[ids], Pair.of(source.name, target.name)
            num_common[pair] = num_common.get(pair, 0) + int(np.count_nonzero(again))
            found.append((source, target, ids[again], ids[~again]))
        observed[target.observed] = False
    return [one for one in found if num_common[Pair.of(one[0].name, one[1].name)] >= _MIN_COMMON]


def _with_common_points(views: Sequence[View], num_ids: int) -> Iterator[tuple[View, list[View]]]:
    """Images, each with some of those that observe enough of the same points, where there are such."""
    if not views:
        return
    ends = np.cumsum([0, *(len(view.observed) for view in views)])
    ids = np.concatenate([view.observed for view in views])
    sees = sp.csr_array((np.ones(len(ids), np.int64), ids, ends), shape=(len(views), num_ids))
    shared = sp.csr_array(sees @ sees.T)
    partners: list[set[int]] = [set() for _ in views]
    for row in range(len(views)):
        span = slice(shared.indptr[row], shared.indptr[row + 1])
        found = sorted(zip((-shared.data[span]).tolist(), shared.indices[span].tolist(), strict=True))
        others = [other for count, other in found if other != row and -count >= _MIN_COMMON]
        spread = np.linspace(0, len(others) - 1, min(len(others), _MAX_PARTNERS)).astype(np.int64)
        for other in (others[i] for i in spread.tolist()):
            partners[row].add(other)
            partners[other].add(row)
    for target, chosen in zip(views, partners, strict=True):
        if chosen:
            yield target, [views[i] for i in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class _Observed:
    """Where an image sees the points that it observes, and how far away."""

    view: View
    tree: cKDTree
    depth: Array
    """(N + 1,), of those before it; 0 for what the tree does not find."""

    @classmethod
    def of(cls, view: View, points: PointTable) -> _Observed:
        in_cam = np.asarray(view.cam_from_world * points.xyz_of(view.observed))
        xy = np.asarray(view.camera.img_from_cam(in_cam))
        is_seen = np.all(np.isfinite(xy), axis=1)  # not behind it, where an adjustment may have left points
        return cls(view, cKDTree(xy[is_seen]), np.append(depths(in_cam[is_seen], view.camera), 0.0))

    def shows(self, xyz: Array) -> NDArray[np.bool_]:
        """Which points (N, 3) lie beside one that the image observes, and not behind it.

        Elsewhere something without texture may hide them.
        """
        camera = self.view.camera
        in_cam = np.asarray(self.view.cam_from_world * xyz)
        spacing = np.sqrt(camera.width * camera.height / max(len(self.view.observed), 1))
        xy = np.asarray(camera.img_from_cam(in_cam))
        nearest = self.tree.query(xy, distance_upper_bound=_BESIDE * spacing)[1]
        return np.asarray(self.depth[nearest] >= _NEARER * depths(in_cam, camera))


def _correlations(
    source: View, target: View, first: NDArray[np.uint8], second: NDArray[np.uint8], xyz: Array
) -> Array:
    """How alike each point looks in both images, (N,); NaN where it cannot be compared.

    A patch lies on the sphere around the source on which the point lies.
    """
    if not len(xyz):
        return np.zeros(0)
    scale, scale_there = (
        np.array(grey.shape[::-1]) / (view.camera.width, view.camera.height)
        for grey, view in ((first, source), (second, target))
    )
    here = _projections(source, xyz)
    moved = here + np.array([(0.0, 0.0), (1.0 / scale[0], 0.0), (0.0, 1.0 / scale[1])])[:, None]
    there = [_projections(target, _back_projected(source, xy, xyz)) * scale_there for xy in moved]
    maps = np.stack([there[1] - there[0], there[2] - there[0]], axis=-1)
    return best_correlations(first, second, here * scale, there[0], maps)


def _grey(photos: PhotoSource, view: View) -> NDArray[np.uint8] | None:
    return photos.grey(view.name, (view.camera.width, view.camera.height))


def _projections(view: View, xyz: Array) -> Array:
    return np.asarray(view.camera.img_from_cam(np.asarray(view.cam_from_world * xyz)))


def _back_projected(view: View, xy: Array, xyz: Array) -> Array:
    """Where rays through positions (N, 2) are as far away from the image as points (N, 3); in the world."""
    rays = bearing_vectors(xy, view.camera)
    lengths = np.linalg.norm(xyz - view.centre, axis=1) / np.linalg.norm(rays, axis=1)
    return np.asarray(view.cam_from_world.inverse() * (lengths[:, None] * rays))
