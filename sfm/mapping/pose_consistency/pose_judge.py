"""Compares models of the same images by how many of their poses are probably right."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pycolmap

from retrieval import Pair

from ..measures.observations import PointTable
from ..scene.scene import Scene
from .placement import placement_log_odds
from .pose_features import ModelEvidence
from .pose_probability import pose_probabilities

_NUM_KNOWN = 8
_MIN_PAIRS = 5
"""Pairs that agree with both of two models, for their errors to be compared."""
_LEAST_PX = 0.05
"""Matches are no more exact: smaller errors count as about the same."""
_LEAST_PAIRS = 1.0
"""Right pairs: of less, a ratio says nothing."""


@dataclass(frozen=True, slots=True)
class PoseJudge:
    """One measure for models however they were found."""

    scene: Scene
    """With all pairs."""
    probability: Mapping[Pair, float]
    """That each pair of the scene is true."""
    deferred: Set[Pair] = field(default_factory=frozenset)
    """Pairs that the models grew without."""
    _known: dict[bytes, ModelEvidence] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of the last models, by their content: most edits ask and then leave a model as it is."""

    def evidence(self, model: pycolmap.Reconstruction) -> ModelEvidence:
        """What the poses of a model are judged by; the model is left unchanged."""
        key = _digest(model)
        if key not in self._known:
            if len(self._known) >= _NUM_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = ModelEvidence.of(self.scene, model, self.probability, self.deferred)
        return self._known[key]

    def placement_log_odds(self, model: pycolmap.Reconstruction) -> dict[Pair, float]:
        """Log-odds that the images of a pair of a model are rightly placed to each other."""
        return placement_log_odds(self.evidence(model))

    def right_images(self, model: pycolmap.Reconstruction) -> float:
        """Expected number of images whose pose is right."""
        return expected_right(self.evidence(model))

    def is_wrong(self, model: pycolmap.Reconstruction) -> bool:
        """Whether a model is probably folded or bent."""
        return pose_probabilities(self.evidence(model)).is_wrong

    def right_pairs(self, models: Sequence[pycolmap.Reconstruction]) -> float:
        """Expected number of ordered pairs of images of one model whose relative pose is right."""
        return expected_right_pairs([self.evidence(model) for model in models])

    def gain(
        self,
        after: Sequence[pycolmap.Reconstruction],
        before: Sequence[pycolmap.Reconstruction],
        judge_before: PoseJudge | None = None,
    ) -> float:
        """How much likelier right some models are than others of the same images (`gain_of`).

        Args:
            after: models that this judge judges.
            before: the others.
            judge_before: of these; None: this one.
        """
        other = judge_before or self
        return gain_of([self.evidence(one) for one in after], [other.evidence(one) for one in before])


def gain_of(after: Sequence[ModelEvidence], before: Sequence[ModelEvidence]) -> float:
    """How much likelier right some models are than others of the same images; positive where they are.

    Log ratio of the expected numbers of right pairs, minus the log ratio of epipolar errors of the verified
    pairs that agree with both. A bent model agrees with its pairs, too, but less closely.
    """
    right = [_LEAST_PAIRS + expected_right_pairs(models) for models in (after, before)]
    return math.log(right[0] / right[1]) - _log_ratio_of_errors(after, before)


def _log_ratio_of_errors(after: Sequence[ModelEvidence], before: Sequence[ModelEvidence]) -> float:
    """Of the mean errors of pairs that agree with models of both; 0 for few pairs."""
    errors = [_errors_px(models) for models in (after, before)]
    both = sorted(errors[0].keys() & errors[1].keys())
    if len(both) < _MIN_PAIRS:
        return 0.0
    known = {pair: chance for one in after for pair, chance in one.probability.items()}
    weight = [known[pair] for pair in both]
    mean = [_LEAST_PX + np.average([side[pair] for pair in both], weights=weight) for side in errors]
    return float(np.log(mean[0] / mean[1]))


def _errors_px(models: Sequence[ModelEvidence]) -> dict[Pair, float]:
    """Of each pair that agrees with a model, the least."""
    found: dict[Pair, float] = {}
    for one in models:
        for pair in one.agreeing:
            found[pair] = min(one.errors_px[pair], found.get(pair, np.inf))
    return found


def expected_right_pairs(models: Iterable[ModelEvidence]) -> float:
    """Expected number of ordered pairs of images of one model whose relative pose is right."""
    return sum(expected_right(one) ** 2 for one in models)


def expected_right(evidence: ModelEvidence) -> float:
    """Expected number of images of a model whose pose is right."""
    return sum(pose_probabilities(evidence).photos.values())


def _digest(model: pycolmap.Reconstruction) -> bytes:
    """Of all that evidence depends on: which images are where, by which cameras, and what they observe."""
    found = hashlib.blake2b(PointTable.of(model).xyz.tobytes())
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        found.update(f"{image_id} {image.num_points3D}".encode())
        found.update(image.cam_from_world().matrix().tobytes())
        found.update(np.asarray(model.cameras[image.camera_id].params).tobytes())
    return found.digest()
