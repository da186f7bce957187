"""Quality of each pose of a finished model: by its points, and by its consistent pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair
from sfm.mapping.growing.bundle_adjustment import OUTLIER_SIGMAS
from sfm.mapping.measures.agreement import CONTRADICTED_PX, contradicted_matches, median_errors_px
from sfm.mapping.measures.observations import PointTable, seen_by
from sfm.mapping.measures.residual_ratio import residual_ratio
from sfm.mapping.measures.residuals import noise_px
from sfm.mapping.pose_consistency.pose_features import ModelEvidence
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities, pose_probabilities
from sfm.mapping.scene.scene import Scene
from sfm.types import PhotoQuality

from .pose_covariance import PoseSigma, pose_sigmas
from .pose_precision import precision

_DIGITS = 4

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModelQuality:
    """Figures of the images of one model."""

    photos: Mapping[str, PhotoQuality]
    errors_px: Mapping[Pair, float]
    """Median distance to the epipolar lines, of each verified pair within the model."""
    agreeing: Set[Pair]
    """Those of these pairs that the poses agree with."""
    inliers: Mapping[Pair, int]
    """Matches of each of these pairs."""
    extent: float
    """Diagonal of the box around its cameras, in its unit."""
    probabilities: PoseProbabilities
    """That its poses are right."""


def model_quality(
    scene: Scene,
    model: pycolmap.Reconstruction,
    options: pycolmap.BundleAdjustmentOptions,
    *,
    fixed_cameras: Set[int],
    cropped_cameras: Set[int] = frozenset(),
    probability: Mapping[Pair, float],
    deferred: Set[Pair],
) -> ModelQuality:
    """Figures of every image of a model.

    Args:
        scene: with all pairs, also the deferred ones.
        model: finished; left unchanged.
        options: of its last adjustment.
        fixed_cameras: cameras whose intrinsics the user gave.
        cropped_cameras: cameras of crops, whose principal points are free.
        probability: that each verified pair is true.
        deferred: pairs that may be inconsistent.
    """
    errors, extent = median_errors_px(scene, model, scene.view_graph.edges), _extent(model)
    inliers = {pair: scene.view_graph.edges[pair].num_inliers for pair in errors}
    seen = _Observations.of(model)
    residuals = seen.residuals_px[np.isfinite(seen.residuals_px)]
    # One misplaced photo must not make all of them seem open; adjusting leaves nothing beyond.
    squares = float(np.sum(np.minimum(residuals, OUTLIER_SIGMAS * noise_px(residuals)) ** 2))
    sigmas, why = pose_sigmas(
        model,
        options,
        fixed_cameras=fixed_cameras,
        cropped_cameras=cropped_cameras,
        sum_of_squares=squares,
    )
    angles = seen.angles_deg()
    pairs_of: dict[str, list[Pair]] = {name: [] for name in seen.names}
    for pair in errors:
        for name in pair:
            pairs_of[name].append(pair)
    evidence = ModelEvidence.of(scene, model, probability, deferred, errors_px=errors)
    probabilities = replace(
        pose_probabilities(evidence),
        residual_ratio=residual_ratio(scene, model, errors),
        precision=precision(sigmas.values(), extent),
    )
    photos = {}
    for name, mine in zip(seen.names, seen.slices, strict=True):
        sigma: PoseSigma | None = sigmas.get(name)
        photos[name] = PhotoQuality(
            residual_px=_rounded(np.mean, seen.residuals_px[mine]),
            tri_angle_deg=_rounded(np.median, angles[mine]),
            sigma_position=None if sigma is None else float(f"{sigma.position:.{_DIGITS}g}"),
            sigma_rotation_deg=None if sigma is None else float(f"{sigma.rotation_deg:.{_DIGITS}g}"),
            why_no_sigma="" if sigma else why or "it sees no point of the model",
            num_pairs=len(pairs_of[name]),
            num_neighbours=sum(pair in evidence.agreeing for pair in pairs_of[name]),
            contradicted=round(contradicted_of(pairs_of[name], errors, inliers, deferred), _DIGITS),
            probability=probabilities.photos[name] if len(seen.names) > 1 else None,  # no pair judges one
        )
    return ModelQuality(photos, errors, evidence.agreeing, inliers, extent, probabilities)


def contradicted_of(
    pairs: Sequence[Pair], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int], deferred: Set[Pair]
) -> float:
    """Share of the matches of some pairs that belong to those which the poses contradict, in [0, 1].

    Deferred pairs count only where there are no others.
    """
    judged = [pair for pair in pairs if pair not in deferred] or pairs
    return contradicted_matches(judged, errors_px, inliers)


def firm_parts(quality: ModelQuality, deferred: Set[Pair]) -> list[frozenset[str]]:
    """Components of the pairs that the poses do not contradict, without `deferred`; largest first."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(quality.photos)
    kept = {pair for pair, error in quality.errors_px.items() if error <= CONTRADICTED_PX}
    graph.add_edges_from(sorted(kept - deferred))
    parts = (frozenset(part) for part in nx.connected_components(graph))
    return sorted(parts, key=lambda part: (-len(part), min(part)))


def _rounded(reduce: Callable[[Array], Any], values: Array) -> float | None:
    finite = values[np.isfinite(values)]
    return round(float(reduce(finite)), _DIGITS) if len(finite) else None


def _extent(model: pycolmap.Reconstruction) -> float:
    centres = np.array([model.image(i).projection_center() for i in model.reg_image_ids()]).reshape(-1, 3)
    return float(np.linalg.norm(np.ptp(centres, axis=0))) if len(centres) else 0.0


@dataclass(frozen=True, slots=True)
class _Observations:
    """All observations of a model, an array entry each."""

    names: tuple[str, ...]
    slices: tuple[slice, ...]
    """Where each photo's observations are."""
    points: npt.NDArray[np.int64]
    """Id of the point, (M,)."""
    residuals_px: Array
    """(M,); not a number where the point is behind the camera."""
    rays: Array
    """Unit vectors from the centre to the point, world, (M, 3)."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> _Observations:
        images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: str(image.name))
        points = PointTable.of(model)
        parts = [_seen_by(model, points, image) for image in images]
        ends = np.cumsum([0, *(len(ids) for ids, _, _ in parts)]).tolist()
        return cls(
            tuple(image.name for image in images),
            tuple(slice(begin, end) for begin, end in itertools.pairwise(ends)),
            np.concatenate([np.zeros(0, np.int64), *(ids for ids, _, _ in parts)]),
            np.concatenate([np.zeros(0), *(residuals for _, residuals, _ in parts)]),
            np.concatenate([np.zeros((0, 3)), *(rays for _, _, rays in parts)]),
        )

    def angles_deg(self) -> Array:
        """Largest angle between each ray and the others to its point, (M,)."""
        angles = np.zeros(len(self.points))
        for members in _tracks_by_length(self.points):
            rays = self.rays[members]
            cosines = np.einsum("nia,nja->nij", rays, rays).min(axis=2)
            angles[members] = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
        return angles


def _seen_by(
    model: pycolmap.Reconstruction, points: PointTable, image: pycolmap.Image
) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Point ids (N,), residuals (N,) px and rays (N, 3) of one photo's observations."""
    ids, xy = seen_by(image)
    if not len(ids):
        return ids, np.zeros(0), np.zeros((0, 3))
    xyz = points.xyz_of(ids)
    in_camera = image.cam_from_world() * xyz
    projected = np.asarray(model.camera(image.camera_id).img_from_cam(in_camera), np.float64)
    residuals = np.linalg.norm(projected - xy, axis=1)
    rays = xyz - image.projection_center()
    return ids, residuals, rays / np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-300)


_MAX_BATCH = 4_000_000  # angles held at a time


def _tracks_by_length(points: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Indices (N, L) of the observations of N points with L observations each, in batches."""
    order = np.argsort(points, kind="stable")
    _, starts, lengths = np.unique(points[order], return_index=True, return_counts=True)
    for length in np.unique(lengths).tolist():
        firsts = starts[lengths == length]
        batch = max(1, _MAX_BATCH // length**2)
        for begin in range(0, len(firsts), batch):
            yield order[firsts[begin : begin + batch, None] + np.arange(length)]
