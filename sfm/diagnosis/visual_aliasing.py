"""Visual aliasing in the record of a run.

Which pairs are inconsistent is decided in `sfm.mapping.pair_consistency`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from sfm.mapping import (
    MIN_NUM_INLIERS,
    InconsistencyReport,
    Measurements,
    PairMatches,
    find_inconsistent_pairs,
    measured_background,
    read_rotations,
)
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities

MAX_PAIRS = 20_000
"""Verified pairs; with more, the search for inconsistent pairs would take minutes."""

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
    """Advice if it is ambiguous, or why no search was made; else empty."""


def read_inconsistent_pairs(
    database: Path, *, measured: Measurements | None = None, max_pairs: int = MAX_PAIRS
) -> InconsistencyReport | None:
    """Inconsistent pairs among the verified ones of a COLMAP database; None above `max_pairs` verified pairs.

    Args:
        database: with keypoints and two-view geometries of either backend; only read.
        measured: of earlier searches, which need not be repeated; new measurements are added.
        max_pairs: verified pairs, at most.
    """
    if num_verified(database) > max_pairs:
        return None
    matches = PairMatches.read(database)
    return find_inconsistent_pairs(
        matches,
        rotations=read_rotations(database, matches, measured),
        background=measured_background(database, matches, measured),
    )


def visual_aliasing(
    report: InconsistencyReport | None, models: Sequence[PoseProbabilities] = ()
) -> VisualAliasing:
    """The record of a finished run.

    Args:
        report: None where there were too many pairs for a search.
        models: how likely the poses of each model are right.
    """
    if report is None:
        return VisualAliasing(
            note=f"Look-alike places were not searched for: there are more than {MAX_PAIRS:,} verified pairs."
        )
    inconsistent_pairs = (
        InconsistentPairRecord(
            s.pair.a, s.pair.b, round(s.score, 3), s.evidence.num_inliers, s.evidence.why()
        )
        for s in report.inconsistent_pairs
    )
    folded = any(model.is_wrong and not model.is_bent for model in models)
    ambiguous = folded and bool(report.inconsistent_pairs)
    return VisualAliasing(tuple(inconsistent_pairs), ambiguous, ADVICE if ambiguous else "")


def num_verified(database: Path) -> int:
    """Pairs that are in the view graph."""
    with pycolmap.Database.open(database) as db:
        _, counts = db.read_two_view_geometry_num_inliers()
    return sum(count >= MIN_NUM_INLIERS for count in counts)
