"""The model that others are compared with where there is no truth: the medoid of several exhaustive ones.

With another seed even an exhaustive graph is sometimes mapped otherwise, and bent. So several are mapped, and
the one that agrees best with the others, their medoid, is the reference; how well they agree at all is the
ceiling of what agreement can mean on a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap

from sfm.evaluation.alignment import centres, extent, fit_similarity_robustly
from sfm.evaluation.model_poses import Poses

_CENTRE_TOLERANCE = 0.01
_ROTATION_TOLERANCE_DEG = 1.0


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


def agreement(reference: Poses, poses: Poses) -> float:
    """Share of the photos of `reference` whose poses agree after a similarity fit, per cent.

    Within 1 % of its extent and 1 degree.
    """
    common = sorted(reference.keys() & poses.keys())
    if not reference:
        return 100.0
    target, source = centres(reference, common), centres(poses, common)
    fit = fit_similarity_robustly(source, target)
    if fit is None:
        return 0.0
    size = extent(centres(reference, sorted(reference)))
    near = np.linalg.norm(fit.apply(source) - target, axis=1) <= _CENTRE_TOLERANCE * size
    turn = pycolmap.Rotation3d(fit.rotation)
    angles = [
        np.degrees((reference[n].rotation * turn * poses[n].rotation.inverse()).angle()) for n in common
    ]
    right = near & (np.array(angles) <= _ROTATION_TOLERANCE_DEG)
    return round(100 * float(right.sum()) / len(reference), 1)
