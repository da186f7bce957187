"""How likely a pair of a given similarity is to verify and be true, learned from the pairs tried so far.

Similarities mean different things on different collections and with different descriptors. What they have in
common is a floor, the similarity of photos that show nothing in common, and that pairs far above it verify.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from retrieval import Pair
from sfm.pairs.ranking import Rank

_NUM_SIMILAR = 30
"""Ranks of each image that may close a loop."""
_SAMPLE = 32
"""Images whose similarities to all others determine the floor."""
_FLOOR_PERCENTILE = 25.0
_HALF_ABOVE_FLOOR = 2.0
"""Times the floor at which half of the pairs verify, before any was tried."""
_SLOPE = 3.0
"""Of the log odds by the logarithm of similarity."""
_OFFSET_SPREAD, _SLOPE_SPREAD = 1.0, 0.5

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities of a collection by retrieval, the same in all rounds."""

    of_pairs: Mapping[Pair, float]
    """Of each image and its most similar ones; the larger value where both rank each other."""
    floor: float
    """Of images with nothing in common."""

    @classmethod
    def measured(cls, names: Sequence[str], rank: Rank) -> Similarities:
        """Query retrieval with all images."""
        of_pairs: dict[Pair, float] = {}
        for name in names:
            for other, score in rank(name, _NUM_SIMILAR):
                pair = Pair.of(name, other)
                of_pairs[pair] = max(of_pairs.get(pair, 0.0), score)
        return cls(of_pairs, _floor(names, rank))


class Calibration:
    """From similarity to the chance to verify and be true: a logistic curve over the logarithm of similarity.

    Its two parameters are the most probable ones given the outcomes and a prior about the collection's floor.
    """

    def __init__(self, floor: float, similarity: Array, outcomes: Array) -> None:
        self._half = max(_HALF_ABOVE_FLOOR * floor, 1e-12)
        x, y = self._log(similarity), outcomes

        def cost(parameters: Array) -> tuple[float, Array]:
            offset, slope = parameters
            logit = offset + slope * x
            error = expit(logit) - y
            value = np.sum(np.logaddexp(0, logit) - y * logit)
            value += (offset / _OFFSET_SPREAD) ** 2 / 2 + ((slope - _SLOPE) / _SLOPE_SPREAD) ** 2 / 2
            gradient = np.array(
                [
                    error.sum() + offset / _OFFSET_SPREAD**2,
                    error @ x + (slope - _SLOPE) / _SLOPE_SPREAD**2,
                ]
            )
            return float(value), gradient

        bounds = [(None, None), (0.0, None)]  # more similar is never less likely
        found = minimize(cost, np.array([0.0, _SLOPE]), jac=True, method="L-BFGS-B", bounds=bounds)
        self.offset, self.slope = (float(value) for value in found.x)

    @classmethod
    def learn(cls, measured: Similarities, outcomes: Mapping[Pair, float], tried: Set[Pair]) -> Calibration:
        """Fit to all tried pairs whose similarity is known."""
        known = sorted(pair for pair in tried if measured.of_pairs.get(pair, 0.0) > 0)
        values = np.array([measured.of_pairs[pair] for pair in known])
        found = np.array([outcomes.get(pair, 0.0) for pair in known], np.float64)
        return cls(measured.floor, values, found)

    def chance(self, similarity: float) -> float:
        """Probability in [0, 1]; 0 where nothing is alike."""
        if similarity <= 0:
            return 0.0
        return float(expit(self.offset + self.slope * self._log(np.array([similarity]))[0]))

    def _log(self, similarity: Array) -> Array:
        return np.asarray(np.log(np.maximum(similarity, 1e-12) / self._half), np.float64)


def _floor(names: Sequence[str], rank: Rank) -> float:
    """Similarity of images with nothing in common: a low percentile over a sample of images."""
    sample = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, _SAMPLE).astype(np.int64))]
    scores = [score for name in sample for _, score in rank(name, len(names))]
    return float(np.percentile(scores, _FLOOR_PERCENTILE)) if scores else 0.0
