"""Parts that visual aliasing has misplaced are relocated to where other pairs place them.

Pairs are trusted in the order of their strength, and one strong false pair supports all others between the
same two places. The true pairs of the part then contradict the model and are not used. The images of the part
observe little of what those beside them observe. The pairs that contradict propose another placement, and the
part stays where the log-odds of its placement are larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, without_images
from ..measures.inconsistent_parts import across
from ..pose_consistency.placement import usual_consistency, verified_log_odds
from ..pose_consistency.pose_judge import PoseJudge
from .alternative_poses import AlternativePlacement, alternative_placements
from .merge import attach_part

_MAX_MOVES = 10
"""Of parts of one model, with those that are taken back."""


def relocate_parts(context: MappingContext, submodel: Submodel) -> Submodel:
    """The model with parts at placements that are likelier right; itself: no part moves.

    Args:
        context: with all pairs; without a judge, no part moves.
        submodel: settled, so that pairs contradict its placements and not rough poses; unchanged.
    """
    judge = context.judge
    if judge is None or submodel.is_depth_only:
        return submodel
    tries = _MAX_MOVES
    while tries > 0:
        log_odds = judge.placement_log_odds(submodel.reconstruction)
        found = None
        for move in _likelier_placements(context, judge, submodel, log_odds)[:tries]:
            tries -= 1
            found = _relocated(context, judge, submodel, move, across(move.part, log_odds))
            if found is not None:
                break
        if found is None:
            break
        submodel = found
    return submodel


def _likelier_placements(
    context: MappingContext, judge: PoseJudge, submodel: Submodel, log_odds: Mapping[Pair, float]
) -> list[AlternativePlacement]:
    """Placements of parts that are likelier right than the present ones, the largest gain first.

    What images would show of each other there is known only after an adjustment, which is slow in large
    models and mostly in vain. Those of pairs that would agree are taken to show what others of the model do.
    """
    usual = usual_consistency(judge.evidence(submodel.reconstruction))
    gains = [
        (_verified_there(judge, move) + usual * len(move.other) - across(move.part, log_odds), move)
        for move in alternative_placements(context, submodel, log_odds)
    ]
    ordered = sorted(gains, key=lambda one: (-one[0], len(one[1].part), min(one[1].part)))
    return [move for gain, move in ordered if gain > 0]


def _verified_there(judge: PoseJudge, move: AlternativePlacement) -> float:
    return sum(verified_log_odds(judge.probability, move.other, move.across - move.other).values())


def _relocated(
    context: MappingContext, judge: PoseJudge, submodel: Submodel, move: AlternativePlacement, present: float
) -> Submodel | None:
    """The model with one part moved, or None where not all images stay or its placement is not likelier."""
    part = move.part

    def is_likelier(after: Submodel) -> bool:
        if not after.names >= submodel.names:
            return False
        return across(part, judge.placement_log_odds(after.reconstruction)) > present

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
        accepted=whole is not None,
    )
    return replace(whole, seed=submodel.seed, journal=submodel.journal) if whole else None
