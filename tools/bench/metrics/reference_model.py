"""The model that others are compared with where there is no truth: the medoid of several exhaustive ones.

With another seed even an exhaustive graph is sometimes mapped otherwise, and bent. So several are mapped, and
the one that agrees best with the others, their medoid, is the reference; how well they agree at all is the
ceiling of what agreement can mean on a set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.mapper_scores import agreement
from sfm.colmap.model_poses import Poses


@dataclass(frozen=True, slots=True)
class Reference:
    """The medoid of models of several seeds."""

    poses: Poses
    seed: int
    """Its place among the models."""
    between_seeds: tuple[float, ...]
    """Agreement of each of the models with it, per cent."""


def medoid(models: Sequence[Poses]) -> Reference:
    """Of models of the same graph the one with which the others agree best; there must be one at least."""
    table = np.array([[agreement(reference, poses) for poses in models] for reference in models])
    best = int(np.argmax(table.mean(axis=1)))
    return Reference(models[best], best, tuple(table[best].tolist()))
