"""The probability that a registered image's pose is right, and that a model is: neither folded nor bent.

A logistic model over `pose_features`, times the probability that a true pair links the image with the rest of
its model. The coefficients are in `pose_model.json`, which `tools/bench/evidence/poses.py` fits on models of
collections with known poses, with their photos and without.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import networkx as nx
import numpy as np
import numpy.typing as npt

from ..measures.residual_ratio import is_bent
from .links import link_probabilities
from .pose_features import ModelEvidence, neighbourhood, pose_features

Array = npt.NDArray[np.float64]

WRONG_SHARE = 0.05
"""A model is wrong, folded or bent, if more of its images than this share are."""
_LIKELIER_WRONG = 0.5
_UNLINKED = "no pair that agrees with its pose links it with the rest of its model"
_UNSURE_LINK = "only pairs that may join look-alike places link it with the rest of its model"
WORDS = {
    "agreement": "pairs that are probably true do not agree with its pose",
    "photo_consistency": "photos beside it do not look like it where they should show the same",
    "repeatability": "photos beside it show little of what it shows",
}
"""What a low value of each feature means, to users."""


@dataclass(frozen=True, slots=True)
class PoseModel:
    """Log-odds = constant + sum of coefficient x feature: of an image, and of a whole model by its lowest."""

    constant: float
    coefficients: Mapping[str, float]
    usual: Mapping[str, float]
    """Mean of each feature over right images."""
    whole_constant: float
    whole_coefficients: Mapping[str, float]
    """Of the `lowest_averages` of the features."""

    def log_odds(self, features: Mapping[str, Array]) -> Array:
        """Of all images, (N,)."""
        terms = sum(weight * features[name] for name, weight in self.coefficients.items())
        return np.asarray(self.constant + terms, np.float64)

    def log_odds_of_whole(self, evidence: ModelEvidence, features: Mapping[str, Array]) -> float:
        """That the model is right."""
        lowest = lowest_averages(evidence, features)
        return self.whole_constant + sum(
            weight * lowest[name] for name, weight in self.whole_coefficients.items()
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """Images of a model that probably belong elsewhere, together."""

    names: tuple[str, ...]
    probability: float
    """That they are placed wrongly, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class PoseProbabilities:
    """How likely the poses of one model are right, each in [0, 1]."""

    photos: Mapping[str, float]
    reasons: Mapping[str, str]
    """Of images that are likelier wrong: what speaks most against each, in words."""
    right: float
    """That the model is neither folded nor bent."""
    alternatives: tuple[Alternative, ...]
    residual_ratio: float | None = None
    """As `measures.residual_ratio`; None where nobody looked."""
    precision: float | None = None
    """That noise leaves nearly all poses near the true ones, where none is misplaced; None where nobody
    looked."""

    @property
    def is_imprecise(self) -> bool:
        """Whether its observations probably leave its poses open."""
        return self.precision is not None and self.precision < _LIKELIER_WRONG

    @property
    def is_wrong(self) -> bool:
        """Whether the model is likelier wrong than right."""
        return self.right < _LIKELIER_WRONG

    @property
    def is_bent(self) -> bool:
        """Whether its cameras or poses fit its pairs much worse than pairs fit themselves."""
        return is_bent(self.residual_ratio)


@cache
def pose_model(*, has_photos: bool) -> PoseModel:
    """The model that is shipped with the package, for evidence with or without photos."""
    text = files(__package__).joinpath("pose_model.json").read_text(encoding="utf-8")
    stored = json.loads(text)[section(has_photos=has_photos)]
    whole = stored["whole"]
    return PoseModel(
        stored["constant"],
        stored["coefficients"],
        stored["usual"],
        whole["constant"],
        whole["coefficients"],
    )


def section(*, has_photos: bool) -> str:
    """The part of `pose_model.json` for evidence with or without photos."""
    return "with_photos" if has_photos else "without_photos"


def pose_probabilities(evidence: ModelEvidence, model: PoseModel | None = None) -> PoseProbabilities:
    """The probabilities of one model's images; `model`: None for a shipped one."""
    if len(evidence.num_points) == 1:  # there is nothing that it could be misplaced against
        return PoseProbabilities(dict.fromkeys(evidence.num_points, 1.0), {}, 1.0, ())
    chosen = model or pose_model(has_photos=evidence.has_photos)
    features = pose_features(evidence)
    names, linked = list(evidence.num_points), linked_rightly(evidence)
    chances = _sigmoid(chosen.log_odds(features)) * linked
    photos = dict(zip(names, chances.round(4).tolist(), strict=True))
    alternatives = _alternatives(evidence, photos)
    # A model is right only where no part is wrong that is large enough to make the model a wrong one.
    placed = (1 - one.probability for one in alternatives if len(one.names) > WRONG_SHARE * len(names))
    whole = float(_sigmoid(chosen.log_odds_of_whole(evidence, features)))
    return PoseProbabilities(
        photos,
        {
            name: f"{100 * photos[name]:.0f} % likely right: {why}"
            for name, why in zip(names, _reasons(chosen, features, linked), strict=True)
            if photos[name] < _LIKELIER_WRONG
        },
        round(min([whole, *placed]), 4),
        alternatives,
    )


def lowest_averages(evidence: ModelEvidence, features: Mapping[str, Array]) -> dict[str, float]:
    """The mean of the lowest values of each feature, of as many images as would make the model a wrong one.

    Each is averaged with those around it, so that one image alone does not count.
    """
    index = {name: number for number, name in enumerate(evidence.num_points)}
    if not index:
        return dict.fromkeys(features, 0.0)
    around, count = neighbourhood(index, evidence.agreeing), math.ceil(WRONG_SHARE * len(index))
    return {name: float(np.mean(np.sort(around @ values)[:count])) for name, values in features.items()}


def linked_rightly(evidence: ModelEvidence) -> Array:
    """`link_probabilities` of the images, (N,)."""
    near = {pair: evidence.probability[pair] for pair in sorted(evidence.near)}
    return link_probabilities(evidence.num_points, near)


def _reasons(model: PoseModel, features: Mapping[str, Array], linked: Array) -> list[str]:
    """Of each image what lowers its probability most, two reasons at most, in words."""
    found = []
    for number, chance in enumerate(linked.tolist()):
        if chance <= 0:
            found.append(_UNLINKED)
            continue
        lowered = {
            WORDS[key]: weight * (features[key][number] - model.usual[key])
            for key, weight in model.coefficients.items()
        }
        lowered[_UNSURE_LINK] = math.log(chance)
        worst = sorted((words for words in lowered if lowered[words] < 0), key=lambda words: lowered[words])
        found.append("; ".join(worst[:2]))
    return found


def _alternatives(evidence: ModelEvidence, photos: Mapping[str, float]) -> tuple[Alternative, ...]:
    """Connected groups of images that are likelier wrong, largest first."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(name for name, chance in photos.items() if chance < _LIKELIER_WRONG)
    graph.add_edges_from(pair for pair in evidence.agreeing if pair.a in graph and pair.b in graph)
    groups = [tuple(sorted(group)) for group in nx.connected_components(graph)]
    found = (
        Alternative(group, round(1 - float(np.mean([photos[name] for name in group])), 4)) for group in groups
    )
    return tuple(sorted(found, key=lambda one: (-len(one.names), one.names)))


def _sigmoid(log_odds: npt.ArrayLike) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))), np.float64)
