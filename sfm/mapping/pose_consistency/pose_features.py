"""Features of registered images by which right poses differ from those that visual aliasing made.

They compare the poses with the verified pairs, each with its probability to be true, and with what images
observe again (`measures.repeatability`) and show (`measures.photo_consistency`) of each other's points. The
latter follow Heinly et al. 2014, "Correcting for Duplicate Scene Structure in Sparse 3D Reconstruction".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap
import scipy.sparse as sp

from retrieval import Pair

from ..measures.agreement import AGREED_PX, agreeing_pairs, median_errors_px
from ..measures.covisibility import PredictedCovisibility
from ..measures.observations import num_points_of_images
from ..measures.photo_consistency import photo_consistencies
from ..measures.repeatability import lower_half_means, repeatabilities
from ..scene.scene import Scene

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModelEvidence:
    """What poses of one model are compared with."""

    num_points: Mapping[str, int]
    """Of each registered image."""
    probability: Mapping[Pair, float]
    """That a verified pair is true, of each pair within the model."""
    agreeing: Set[Pair]
    """Those of these pairs that the poses agree with."""
    errors_px: Mapping[Pair, float]
    """Median distance to the epipolar lines of each of these pairs."""
    repeatability: Mapping[Pair, float]
    """Log-odds that points are observed again, of pairs that were matched, but for deferred ones."""
    photo_consistency: Mapping[Pair, float] | None = None
    """Log-odds that images are rightly placed to each other, by what they show; None without photos."""
    deferred: Set[Pair] = frozenset()
    """Pairs that the model grew without: their agreement with it does not make it doubtful."""

    @classmethod
    def of(
        cls,
        scene: Scene,
        model: pycolmap.Reconstruction,
        probability: Mapping[Pair, float],
        deferred: Set[Pair],
        *,
        errors_px: Mapping[Pair, float] | None = None,
    ) -> ModelEvidence:
        """The evidence on a model of a scene.

        Args:
            scene: with all pairs.
            model: left unchanged.
            probability: that each pair of the scene is true.
            deferred: pairs that the model grew without.
            errors_px: of its pairs, where they are known.
        """
        errors = median_errors_px(scene, model, scene.view_graph.edges) if errors_px is None else errors_px
        points = num_points_of_images(model)
        within = [pair for pair in scene.tried if pair not in deferred and points.keys() >= {*pair}]
        covisibility, photos = PredictedCovisibility.of(model), scene.photos
        looks = None if photos is None else photo_consistencies(model, photos, covisibility=covisibility)
        return cls(
            points,
            {pair: probability[pair] for pair in errors},
            agreeing_pairs(scene, errors),
            dict(errors),
            repeatabilities(model, within, scene.first_of_second, covisibility=covisibility),
            looks,
            deferred,
        )

    @property
    def near(self) -> frozenset[Pair]:
        """Pairs within `AGREED_PX`, agreeing or not: they hold the images where they are."""
        return frozenset(pair for pair, error in self.errors_px.items() if error <= AGREED_PX)

    @property
    def has_photos(self) -> bool:
        """Whether images were compared by what they show."""
        return self.photo_consistency is not None


def pose_features(evidence: ModelEvidence) -> dict[str, Array]:
    """Features by name, each of all images of `num_points` in their order, (N,).

    Each is averaged over the images around it. `agreement`: log ratio of the expected numbers of true pairs
    that agree with its pose and that contradict it; deferred ones count only against it. `repeatability` and,
    with photos, `photo_consistency`: `lower_half_means`; 0 where nothing was predicted.
    """
    names, agreeing = list(evidence.num_points), sorted(evidence.agreeing)
    index = {name: number for number, name in enumerate(names)}
    used = [pair for pair in agreeing if pair not in evidence.deferred]
    against = sorted(evidence.probability.keys() - evidence.agreeing)
    true, contradicting = (_expected_true(index, pairs, evidence.probability) for pairs in (used, against))
    around = neighbourhood(index, agreeing)
    measures = {"repeatability": evidence.repeatability, "photo_consistency": evidence.photo_consistency}
    return {
        "agreement": around @ np.log((true + 0.5) / (contradicting + 0.5)),
        **{
            name: around @ _of_images(names, lower_half_means(values))
            for name, values in measures.items()
            if values is not None
        },
    }


def neighbourhood(index: Mapping[str, int], agreeing: Iterable[Pair]) -> sp.csr_array:
    """What averages values (N,) of images over each image and those that agreeing pairs connect with it.

    The image itself counts as much as the mean number of its neighbours.
    """
    ends = np.array([(index[pair.a], index[pair.b]) for pair in agreeing], np.int64).reshape(-1, 2)
    degree: Array = np.bincount(ends.ravel(), minlength=len(index)).astype(np.float64)
    own = max(float(np.mean(np.maximum(degree, 1))), 1.0) if len(index) else 1.0
    every = np.arange(len(index))
    rows = np.concatenate([ends[:, 0], ends[:, 1], every])
    columns = np.concatenate([ends[:, 1], ends[:, 0], every])
    share = np.concatenate([np.ones(2 * len(ends)), np.full(len(index), own)]) / (degree + own)[rows]
    return sp.csr_array((share, (rows, columns)), shape=(len(index), len(index)))


def _expected_true(index: Mapping[str, int], pairs: Sequence[Pair], chance: Mapping[Pair, float]) -> Array:
    """Expected number of true pairs of each image."""
    ends = np.array([(index[pair.a], index[pair.b]) for pair in pairs], np.int64).reshape(-1, 2)
    values = np.repeat([chance[pair] for pair in pairs], 2)
    return np.bincount(ends.ravel(), weights=values, minlength=len(index)).astype(np.float64)


def _of_images(names: Iterable[str], values: Mapping[str, float]) -> Array:
    return np.array([values.get(name, 0.0) for name in names])
