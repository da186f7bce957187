"""Pair inference as a cascade: one direction and descriptors for every pair, the other for promising ones.

Depth is decoded only where it is wanted. Each photo is encoded once, by `photos.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pycolmap
import torch

from retrieval import Pair
from sfm.config.schema import Mast3rConfig
from sfm.mast3r.network.predictor import EncodedPhoto, PairPredictor
from sfm.mast3r.values import NOISE_NETWORK_PX, DenseMatches

from .decoded_direction import DecodedDirection, matches_of_both
from .memory import guess_batch, memory_errors_halve
from .pair_store import PairResult
from .photos import EncodedPhotos

_TESTED_MATCHES = 1000
"""A quick test of geometry needs no more."""
_MIN_AGREEING = 15
"""Matches that fit one fundamental matrix, for depth and windows to be worth their price. The threshold is
separate from those of verification, because results outlive the options of a run."""
_MAX_ERROR_PX = 4.0

NOT_FINITE = "the network's output is not finite; try mast3r.precision=fp32"

NO_MATCHES = DenseMatches(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))

WantsDepth = Callable[[Pair, str], bool]
"""Whether depth of a photo is to be inferred with a pair; the same question may be asked again."""

Outcome = tuple[Pair, PairResult, DenseMatches | None]
"""A pair's result, and a sample of its matches that fit one fundamental matrix where enough of them do."""

Finer = Callable[[Pair, DenseMatches, DenseMatches], DenseMatches]
"""Better matches of a pair from its matches and from a sample of those that fit one fundamental matrix."""


@dataclass(frozen=True, slots=True)
class PairInference:
    """Runs the network over pairs of photos."""

    predictor: PairPredictor
    photos: EncodedPhotos
    config: Mast3rConfig
    finer: Finer | None = None
    """Applied to the matches of the pairs that pass that test."""

    def run(self, pairs: Sequence[Pair], wants_depth: WantsDepth) -> Iterator[tuple[Pair, PairResult]]:
        """Results of all pairs of encoded photos, grouped by image sizes; a failed pair's result has the
        reason.

            `wants_depth` is asked for both photos of each pair that will be kept, in the order of the pairs.
        """
        for sizes, group in groupby(sorted(pairs, key=self._order), key=self._sizes):
            members = list(group)
            pixels = sum(height * width for height, width in sizes)
            batch = self.config.batch_size or guess_batch(pixels, self.predictor.device)
            for start in range(0, len(members), batch):
                for pair, result, agreeing in self._run_batch(members[start : start + batch], wants_depth):
                    yield pair, self._refined(pair, result, agreeing)

    def _sizes(self, pair: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
        return self.photos.maps[pair.a].size, self.photos.maps[pair.b].size

    def _order(self, pair: Pair) -> tuple[object, Pair]:
        return self._sizes(pair), pair

    def _run_batch(self, pairs: Sequence[Pair], wants_depth: WantsDepth) -> Iterator[Outcome]:
        failed: list[Outcome] = []

        def give_up(some: Sequence[Pair], why: str) -> None:
            failed.extend((pair, _failed(why), None) for pair in some)

        # Held until the batch is done: encoding a photo once more could fail where it cannot be reported.
        encoded: dict[str, EncodedPhoto] = {}
        whole = []
        for pair in pairs:
            if why := self._find(pair, encoded):
                give_up([pair], why)
            else:
                whole.append(pair)

        def infer(some: Sequence[Pair]) -> list[Outcome]:
            return self._infer(some, encoded, wants_depth)

        for results in memory_errors_halve(whole, infer, give_up):
            yield from results
        yield from failed

    def _find(self, pair: Pair, encoded: dict[str, EncodedPhoto]) -> str:
        """Put both photos into `encoded`; returns why one that no cache holds could not be encoded again."""
        for name in pair:
            if name not in encoded:
                found = self.photos.find(name)
                if isinstance(found, str):
                    return found
                encoded[name] = found
        return ""

    def _infer(
        self, pairs: Sequence[Pair], encoded: Mapping[str, EncodedPhoto], wants_depth: WantsDepth
    ) -> list[Outcome]:
        with torch.inference_mode():
            first = [encoded[pair.a] for pair in pairs]
            second = [encoded[pair.b] for pair in pairs]
            decoded = self.predictor.decode(first, second)
            forward = DecodedDirection(decoded, range(len(pairs)), self.config, first_is=1)
            going_on = [row for row in range(len(pairs)) if forward.is_promising(row)]
            backward = self._backward(first, second, going_on)
            results = {row: self._refused(forward, row) for row in range(len(pairs)) if row not in going_on}
            agreeing: dict[int, DenseMatches] = {}
            for row in going_on:
                results[row] = self._merged(pairs[row], forward, backward, row)
                if (sample := self._agreeing(pairs[row], results[row].matches)) is not None:
                    agreeing[row] = sample
            self._add_depth(pairs, results, list(agreeing), forward, backward, wants_depth)
        return [(pair, results[row], agreeing.get(row)) for row, pair in enumerate(pairs)]

    def _refused(self, forward: DecodedDirection, row: int) -> PairResult:
        if not forward.is_finite(row):
            return _failed(NOT_FINITE)
        return PairResult(NO_MATCHES, f"{forward.num_confident(row)} confident matches one way")

    def _backward(
        self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto], rows: Sequence[int]
    ) -> DecodedDirection | None:
        if not rows:
            return None
        decoded = self.predictor.decode([second[row] for row in rows], [first[row] for row in rows])
        return DecodedDirection(decoded, rows, self.config, first_is=2)

    def _merged(
        self, pair: Pair, forward: DecodedDirection, backward: DecodedDirection | None, row: int
    ) -> PairResult:
        assert backward is not None
        if not backward.is_finite(row):
            return _failed(NOT_FINITE)
        maps = self.photos.maps[pair.a], self.photos.maps[pair.b]
        matches = matches_of_both(forward, backward, row, maps)
        return PairResult(matches, "" if len(matches.confidence) else "no confident match")

    def _refined(self, pair: Pair, result: PairResult, agreeing: DenseMatches | None) -> PairResult:
        if self.finer is None or agreeing is None:
            return result
        return replace(result, matches=self.finer(pair, result.matches, agreeing))

    def _agreeing(self, pair: Pair, matches: DenseMatches) -> DenseMatches | None:
        """A sample of the matches that fit one fundamental matrix; None where they are too few."""
        if len(matches.confidence) < _MIN_AGREEING:
            return None
        rows = np.linspace(0, len(matches.confidence) - 1, _TESTED_MATCHES).astype(np.int64)
        rows = np.unique(rows)
        options = pycolmap.RANSACOptions()
        pixel = max(self.photos.maps[name].photo_px for name in pair)
        options.max_error, options.random_seed = max(_MAX_ERROR_PX, NOISE_NETWORK_PX * pixel), 0
        options.min_num_trials, options.max_num_trials = 50, 500
        found = pycolmap.estimate_fundamental_matrix(
            matches.xy_a[rows].astype(np.float64), matches.xy_b[rows].astype(np.float64), options
        )
        share = len(matches.confidence) / len(rows)
        if found is None or found["num_inliers"] * share < _MIN_AGREEING:
            return None
        rows = rows[found["inlier_mask"]]
        return DenseMatches(matches.xy_a[rows], matches.xy_b[rows], matches.confidence[rows])

    def _add_depth(
        self,
        pairs: Sequence[Pair],
        results: dict[int, PairResult],
        kept: Sequence[int],
        forward: DecodedDirection,
        backward: DecodedDirection | None,
        wants_depth: WantsDepth,
    ) -> None:
        """Depth of each photo of kept pairs in its own frame: it is view 1 of one of the two directions."""
        if backward is None:
            return
        # Pair by pair, so that the answers don't depend on how pairs are batched.
        wanted = {row: [wants_depth(pairs[row], name) for name in pairs[row]] for row in kept}
        want_a = [row for row in kept if wanted[row][0]]
        want_b = [row for row in kept if wanted[row][1]]
        depths_a, depths_b = forward.depths(want_a), backward.depths(want_b)
        for row in {*want_a, *want_b}:
            result = results[row]
            results[row] = replace(result, depth_a=depths_a.get(row), depth_b=depths_b.get(row))


def _failed(why: str) -> PairResult:
    return PairResult(NO_MATCHES, why, failed=True)
