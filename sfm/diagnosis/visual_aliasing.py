"""Visual aliasing: a database's inconsistent pairs, and what the record of a run says of them.

Which pairs are inconsistent is decided in `sfm.mapping.pair_consistency`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sfm.mapping import (
    InconsistencyReport,
    Measurements,
    PairMatches,
    find_inconsistent_pairs,
    measured_background,
    read_rotations,
)
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities

ADVICE = (
    "Places in this scene look alike, such as repeated façades or two identical objects, so parts of the "
    "model may lie on top of each other. Look for doubled or crossing parts in the 3D view. Photos that lead "
    "from one of these places to the other without a gap, with what differs around them in view, will help."
)


@dataclass(frozen=True, slots=True)
class InconsistentPairRecord:
    """An inconsistent pair as in `run.json`."""

    a: str
    b: str
    score: float
    """Probability that it is false, in [0, 1]."""
    num_inliers: int
    why: str


@dataclass(frozen=True, slots=True)
class VisualAliasing:
    """Inconsistent pairs, in order of score, and whether they have probably folded a model."""

    inconsistent_pairs: tuple[InconsistentPairRecord, ...] = ()
    ambiguous: bool = False
    note: str = ""
    """Advice if it is ambiguous; else empty."""


def read_inconsistent_pairs(database: Path, *, measured: Measurements | None = None) -> InconsistencyReport:
    """Inconsistent pairs among the verified ones of a COLMAP database.

    Args:
        database: with keypoints and two-view geometries of either backend; only read.
        measured: of earlier searches, which need not be repeated; new measurements are added.
    """
    matches = PairMatches.read(database)
    return find_inconsistent_pairs(
        matches,
        rotations=read_rotations(database, matches, measured),
        background=measured_background(database, matches, measured),
    )


def visual_aliasing(report: InconsistencyReport, models: Sequence[PoseProbabilities] = ()) -> VisualAliasing:
    """The record of a finished run.

    Args:
        report: of its verified pairs.
        models: how likely the poses of each model are right.
    """
    inconsistent_pairs = (
        InconsistentPairRecord(
            s.pair.a, s.pair.b, round(s.score, 3), s.evidence.num_inliers, s.evidence.why()
        )
        for s in report.inconsistent_pairs
    )
    folded = any(model.is_wrong and not model.is_bent for model in models)
    ambiguous = folded and bool(report.inconsistent_pairs)
    return VisualAliasing(tuple(inconsistent_pairs), ambiguous, ADVICE if ambiguous else "")
