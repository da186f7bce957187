"""Parts that visual aliasing has misplaced are relocated to where other pairs place them.

Pairs are trusted in the order of their strength, and one strong false pair supports all others between the
same two places. The true pairs of the part then contradict the model and are not used. The images of the part
observe little of what those beside them observe. The pairs that contradict propose another placement, and the
model is kept of which more poses are probably right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import replace

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, judged, without_images
from ..pose_consistency.pose_features import ModelEvidence
from ..pose_consistency.pose_judge import PoseJudge, expected_right
from .alternative_poses import AlternativePlacement, alternative_placements
from .merge import attach_part

_MAX_MOVES = 10
_MIN_GAIN = 0.5
"""Of the expected number of right images: below, the judge cannot tell both models apart."""
_SUREST = 0.99
"""Largest probability of a pair: no pair decides alone."""


def relocate_parts(context: MappingContext, submodel: Submodel) -> Submodel:
    """The model with parts at placements with which more poses are probably right; itself: no part moves.

    Args:
        context: with all pairs; without a judge, no part moves.
        submodel: settled, so that pairs contradict its placements and not rough poses; unchanged.
    """
    if context.judge is None or submodel.is_depth_only:
        return submodel
    for _ in range(_MAX_MOVES):
        evidence = context.judge.evidence(submodel.reconstruction)
        present = expected_right(evidence)
        moves = _likelier_placements(context, context.judge, submodel, evidence, present)
        done = (_relocated(context, context.judge, submodel, move, present + _MIN_GAIN) for move in moves)
        found = next((moved for moved in done if moved is not None), None)
        if found is None:
            break
        submodel = found
    return submodel


def _likelier_placements(
    context: MappingContext, judge: PoseJudge, submodel: Submodel, evidence: ModelEvidence, present: float
) -> list[AlternativePlacement]:
    """Placements with which more images are expected to be right than at present, most first.

    By the pairs that agree with each: an adjustment takes as long as the model is large, and is mostly in
    vain. The pairs across must be likelier, too: in a large model a fold is seen by few images, so that the
    expected number hardly counts it.
    """
    looks = evidence.photo_consistency
    placements = alternative_placements(context, submodel, judge.probability, looks=looks, with_weak=True)
    expected = [
        (expected_right(evidence.with_agreeing(move.part, move.across, move.other)), move)
        for move in placements
        if _log_likelihood(evidence.probability, move.across, move.other)
        > _log_likelihood(evidence.probability, move.across, evidence.agreeing)
    ]
    likelier = [(right, move) for right, move in expected if right > present]
    ordered = sorted(likelier, key=lambda one: (-one[0], len(one[1].part), min(one[1].part)))
    return [move for _, move in ordered]


def _log_likelihood(probability: Mapping[Pair, float], pairs: Set[Pair], agreeing: Set[Pair]) -> float:
    """That just those of some pairs are true which agree with a placement; pairs count as independent."""
    found = 0.0
    for pair in sorted(pairs):
        true = min(max(probability[pair], 1 - _SUREST), _SUREST)
        found += math.log(true if pair in agreeing else 1 - true)
    return found


def _relocated(
    context: MappingContext, judge: PoseJudge, submodel: Submodel, move: AlternativePlacement, fewest: float
) -> Submodel | None:
    """The model with one part moved, or None where not all images stay or fewer are expected to be right."""
    part = move.part

    def is_likelier(after: Submodel) -> bool:
        return after.names >= submodel.names and (judged(context, after).right_images or 0.0) >= fewest

    base = without_images(context, submodel, part)
    moving = without_images(context, submodel, submodel.names - part)
    whole = attach_part(
        context,
        base,
        moving,
        move.across,
        move.other,
        judge.deferred,
        submodel.journal,
        base_from_part=move.base_from_part,
        accept=is_likelier,
    )
    submodel.journal.note(
        "relocated",
        names=sorted(part),
        num_matches=list(move.votes(context.scene.view_graph.edges)),
        num_inconsistent=[move.here.num_inconsistent, move.there.num_inconsistent],
        accepted=whole is not None,
    )
    return replace(whole, seed=submodel.seed, journal=submodel.journal) if whole else None
