"""Compares models of the same images by how many of their poses are probably right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pycolmap

from retrieval import Pair

from ..measures.inconsistent_parts import placement_log_odds
from ..measures.observations import PointTable
from ..scene.scene import Scene
from .pose_features import ModelEvidence
from .pose_probability import pose_probabilities

_NUM_KNOWN = 8


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
        evidence = self.evidence(model)
        return placement_log_odds(evidence.consistency, evidence.errors_px, evidence.probability)

    def right_images(self, model: pycolmap.Reconstruction) -> float:
        """Expected number of images whose pose is right."""
        return expected_right(self.evidence(model))

    def is_wrong(self, model: pycolmap.Reconstruction) -> bool:
        """Whether a model is probably folded or bent."""
        return pose_probabilities(self.evidence(model)).is_wrong

    def right_pairs(self, models: Sequence[pycolmap.Reconstruction]) -> float:
        """Expected number of ordered pairs of images of one model whose relative pose is right."""
        return sum(self.right_images(model) ** 2 for model in models)


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
