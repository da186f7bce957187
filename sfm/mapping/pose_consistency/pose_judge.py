"""Compares models of the same images by how many of their poses are probably right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from .pose_features import ModelEvidence
from .pose_probability import pose_probabilities

_LIKELIER_FOLDED = 0.5


@dataclass(frozen=True, slots=True)
class PoseJudge:
    """One measure for models however they were found."""

    scene: Scene
    """With all pairs."""
    probability: Mapping[Pair, float]
    """That each pair of the scene is true."""
    deferred: Set[Pair] = field(default_factory=frozenset)
    """Pairs that the models grew without."""

    def evidence(self, model: pycolmap.Reconstruction) -> ModelEvidence:
        """What the poses of a model are judged by; the model is left unchanged."""
        return ModelEvidence.of(self.scene, model, self.probability, self.deferred)

    def right_images(self, model: pycolmap.Reconstruction) -> float:
        """Expected number of images whose pose is right."""
        return expected_right(self.evidence(model))

    def is_folded(self, model: pycolmap.Reconstruction) -> bool:
        """Whether a part of a model is probably folded."""
        return pose_probabilities(self.evidence(model)).not_folded < _LIKELIER_FOLDED

    def right_pairs(self, models: Sequence[pycolmap.Reconstruction]) -> float:
        """Expected number of ordered pairs of images of one model whose relative pose is right."""
        return sum(self.right_images(model) ** 2 for model in models)


def expected_right(evidence: ModelEvidence) -> float:
    """Expected number of images of a model whose pose is right."""
    return sum(pose_probabilities(evidence).photos.values())
