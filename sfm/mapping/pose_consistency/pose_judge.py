"""Compares models of the same images by how many of their poses are probably right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import pycolmap

from retrieval import Pair

from ..scene.scene import Scene
from .pose_features import ModelEvidence
from .pose_probability import PoseProbabilities, pose_probabilities

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

    def right_images(self, model: pycolmap.Reconstruction) -> float:
        """Expected number of images whose pose is right."""
        return sum(self._probabilities(model).photos.values())

    def is_folded(self, model: pycolmap.Reconstruction) -> bool:
        """Whether a part of a model is probably folded."""
        return self._probabilities(model).not_folded < _LIKELIER_FOLDED

    def right_pairs(self, models: Sequence[pycolmap.Reconstruction]) -> float:
        """Expected number of ordered pairs of images of one model whose relative pose is right."""
        return sum(self.right_images(model) ** 2 for model in models)

    def _probabilities(self, model: pycolmap.Reconstruction) -> PoseProbabilities:
        return pose_probabilities(ModelEvidence.of(self.scene, model, self.probability, self.deferred))
