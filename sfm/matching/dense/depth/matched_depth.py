"""Matches of two photos, each with the depth that the pointmaps of both photos give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval import Pair
from sfm.config.schema import Mast3rConfig
from sfm.mast3r.network.pointmap_focal import estimate_focal
from sfm.mast3r.network.predictor import DecodedPairs, PairPredictor
from sfm.mast3r.values import DenseMatches

from ..inference.decoded_direction import DecodedDirection, matches_of_both
from ..inference.inference import NOT_FINITE
from ..inference.masking import load_masks, without_masked
from ..inference.memory import memory_errors_halve
from ..inference.photo_map import PhotoMap
from ..inference.photos import EncodedPhotos


class PairFailedError(Exception):
    """A pair that the network could not be asked about, with the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchedDepth:
    """Matches of photos a and b from both directions of the network.

    Attributes:
        matches: positions in the stored pixels of both photos.
        depth_a: (M,) along the optical axis of a, metres with metric weights; NaN where unknown.
        depth_b: (M,), of b.
        focal_a: that the pointmap of a implies, px of the photo; NaN where it says nothing.
        focal_b: of b.
    """

    matches: DenseMatches
    depth_a: NDArray[np.float64]
    depth_b: NDArray[np.float64]
    focal_a: float
    focal_b: float


@dataclass(frozen=True, slots=True)
class MatchedDepthInference:
    """Asks the network about single pairs, in both directions and for all points."""

    predictor: PairPredictor
    photos: EncodedPhotos
    config: Mast3rConfig

    def of(self, a: str, b: str) -> MatchedDepth:
        """Matches and depth of photos `a` and `b`; each photo is view 1 of the direction of its depth.

        Raises:
            PairFailedError: a photo that could not be encoded, an output that is not finite, or no memory.
        """
        encoded = []
        for name in (a, b):
            photo = self.photos.find(name)
            if isinstance(photo, str):
                raise PairFailedError(photo)
            encoded.append(photo)
        reasons: list[str] = []

        def give_up(_: Sequence[object], why: str) -> None:
            reasons.append(why)

        def infer(_: Sequence[object]) -> MatchedDepth:
            with torch.inference_mode():
                forward = self.predictor.decode([encoded[0]], [encoded[1]])
                backward = self.predictor.decode([encoded[1]], [encoded[0]])
                return self._read(a, b, forward, backward)

        for found in memory_errors_halve([(a, b)], infer, give_up):
            return found
        raise PairFailedError(reasons[0])

    def _read(self, a: str, b: str, forward: DecodedPairs, backward: DecodedPairs) -> MatchedDepth:
        there = DecodedDirection(forward, [0], self.config, first_is=1)
        back = DecodedDirection(backward, [0], self.config, first_is=2)
        if not (there.is_finite(0) and back.is_finite(0)):
            raise PairFailedError(NOT_FINITE)
        maps = self.photos.maps[a], self.photos.maps[b]
        matches = matches_of_both(there, back, 0, maps)
        masks = load_masks({name: self.photos.photos[name] for name in (a, b)})
        if masks:
            matches = _without_masked(a, b, matches, masks)
        points_a, points_b = (
            decoded.points(1)[0][0].float().cpu().numpy() for decoded in (forward, backward)
        )
        return MatchedDepth(
            matches,
            _depth_at(points_a, maps[0], matches.xy_a),
            _depth_at(points_b, maps[1], matches.xy_b),
            estimate_focal(points_a) * maps[0].photo_px,
            estimate_focal(points_b) * maps[1].photo_px,
        )


def _without_masked(
    a: str, b: str, matches: DenseMatches, masks: dict[str, NDArray[np.bool_]]
) -> DenseMatches:
    pair = Pair.of(a, b)
    if pair.a == a:
        return without_masked(pair, matches, masks)
    return without_masked(pair, matches.swapped(), masks).swapped()


def _depth_at(points: NDArray[np.float32], grid: PhotoMap, xy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Depth (M,) at the network pixels next to photo positions (M, 2)."""
    height, width = points.shape[:2]
    pixels = np.clip(np.rint(grid.to_network(xy)), 0, [width - 1, height - 1]).astype(np.int64)
    found = points[pixels[:, 1], pixels[:, 0]].astype(np.float64)
    known = np.isfinite(found).all(axis=1) & (found[:, 2] > 0)
    return np.where(known, found[:, 2], np.nan)
