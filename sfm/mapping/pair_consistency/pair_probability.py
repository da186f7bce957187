"""The probability that a verified pair is true: a logistic regression, applied in two passes.

The first uses features of the pair and its surroundings in
the view graph. Its log-odds order the pairs from which tracks and rotations are built; the second adds how
far each pair agrees with these. `tools/bench/evidence/pairs.py` fits the coefficients in `pair_model.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from retrieval import Pair

from ..scene.pair_matches import PairMatches
from .pair_features import Values, local_features, track_features
from .pair_rotations import Rotation

WORDS = {
    "rank": "many pairs of its photos have more inliers",
    "relative_inlier_ratio": "more of its matches were outliers than in its photos' best pairs",
    "common_neighbours": "pairs that lead from one photo to the other over a third are stronger",
    "capture_order": "its photos are far apart in the order of capture",
    "background": "what surrounds its matches differs",
    "track_support": "its matches contradict the tracks of likelier pairs",
    "rotation_agreement": "its rotation contradicts likelier pairs",
}
"""What a low value of each feature means, to users."""


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """Log-odds = constant + sum of coefficient x feature."""

    constant: float
    coefficients: Mapping[str, float]

    def log_odds(self, features: Mapping[str, Values]) -> dict[Pair, float]:
        """Of all pairs; features that the model does not name are ignored."""
        columns = [(weight, features[name]) for name, weight in self.coefficients.items()]
        pairs = next(iter(features.values()), {})
        return {pair: self.constant + sum(w * column[pair] for w, column in columns) for pair in pairs}


@dataclass(frozen=True, slots=True)
class PairModel:
    """The models of both rounds."""

    first: LogisticModel
    second: LogisticModel
    usual: Mapping[str, float]
    """Mean of each feature over the true pairs that the model was fitted on."""


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """What is known of a verified pair."""

    num_inliers: int
    probability: float
    """That the pair is true, in [0, 1]."""
    against: tuple[str, ...]
    """Names of the two features that lower it most, compared with usual true pairs."""

    def why(self) -> str:
        """The reasons against the pair, for users."""
        return "; ".join(WORDS[name] for name in self.against)


@cache
def pair_model() -> PairModel:
    """The model that is shipped with the package."""
    stored = json.loads(files(__package__).joinpath("pair_model.json").read_text(encoding="utf-8"))
    first, second = (LogisticModel(part["constant"], part["coefficients"]) for part in stored["rounds"])
    return PairModel(first, second, stored["usual"])


def pair_evidence(
    matches: PairMatches,
    *,
    rotations: Mapping[Pair, Rotation],
    background: Mapping[Pair, float | None],
) -> dict[Pair, PairEvidence]:
    """The evidence of every pair of `matches`.

    Args:
        matches: of all verified pairs.
        rotations: of pairs, from `read_rotations`.
        background: agreement of the background, where it was measured.
    """
    if not matches.inliers:
        return {}
    model = pair_model()
    features = local_features(matches, background)
    log_odds = model.first.log_odds(features)
    features |= track_features(matches, rotations, log_odds, features["has_background"])
    log_odds = model.second.log_odds(features)
    return {
        pair: PairEvidence(len(rows), _sigmoid(log_odds[pair]), _against(model, features, pair))
        for pair, rows in matches.inliers.items()
    }


def _against(model: PairModel, features: Mapping[str, Values], pair: Pair) -> tuple[str, ...]:
    lowered = {
        name: weight * (features[name][pair] - model.usual[name])
        for name, weight in model.second.coefficients.items()
        if name in WORDS and (name != "background" or features["has_background"][pair])
    }
    worst = sorted((name for name in lowered if lowered[name] < 0), key=lambda name: (lowered[name], name))
    return tuple(worst[:2])


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))
