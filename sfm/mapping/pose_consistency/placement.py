"""Log-odds that two images of a model are rightly placed to each other, by all that is known of the pair.

What both observe again of each other's points, what they show of them, and the verified pair between them.
The first two count by a logistic model that `tools/bench/evidence/poses.py` fits. The last counts less than
its probability says: pairs that one repeated structure made are not independent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from statistics import median

from retrieval import Pair

from ..measures.agreement import AGREED_PX, CONTRADICTED_PX
from ..measures.inconsistent_parts import log_odds_of_pairs
from .pose_features import ModelEvidence


def placement_log_odds(evidence: ModelEvidence) -> dict[Pair, float]:
    """Of all pairs of which something is known; positive where images are likelier rightly placed."""
    agreeing = {pair for pair, error in evidence.errors_px.items() if error <= AGREED_PX}
    contradicting = {pair for pair, error in evidence.errors_px.items() if error > CONTRADICTED_PX}
    found = verified_log_odds(evidence.probability, agreeing, contradicting)
    for pair, odds in _consistency(evidence).items():
        found[pair] = found.get(pair, 0.0) + odds
    return found


def verified_log_odds(
    probability: Mapping[Pair, float], agreeing: Iterable[Pair], contradicting: Iterable[Pair]
) -> dict[Pair, float]:
    """Log-odds of placements by verified pairs alone.

    Args:
        probability: that a pair is true; others count as true.
        agreeing: pairs that agree with the placements of their images.
        contradicting: pairs that contradict them.
    """
    weight = _model()["verified_pairs"]["weight"]
    agreed, contradicted = set(agreeing), set(contradicting)
    known = {pair: probability.get(pair, 1.0) for pair in agreed | contradicted}
    return {pair: weight * odds for pair, odds in log_odds_of_pairs(known, agreed, contradicted).items()}


def usual_consistency(evidence: ModelEvidence) -> float:
    """Median log-odds of the pairs of a model by points and photos alone; 0 where most look unlike, or none
    is known.
    """
    known = _consistency(evidence)
    return max(median(known.values()), 0.0) if known else 0.0


def _consistency(evidence: ModelEvidence) -> dict[Pair, float]:
    """Of the pairs that were compared by their points or photos."""
    model, photos = _model(), evidence.photo_consistency or {}
    found = {}
    for pair in {*evidence.repeatability, *photos}:
        known = model["with_photos" if pair in photos else "without_photos"]
        found[pair] = (
            known["constant"]
            + known["repeatability"] * evidence.repeatability.get(pair, 0.0)
            + known.get("photo_consistency", 0.0) * photos.get(pair, 0.0)
        )
    return found


@cache
def _model() -> dict[str, dict[str, float]]:
    text = files(__package__).joinpath("placement_model.json").read_text(encoding="utf-8")
    stored: dict[str, dict[str, float]] = json.loads(text)["coefficients"]
    return stored
