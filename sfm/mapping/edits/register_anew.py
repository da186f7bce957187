"""Parts that are likelier misplaced than right are registered anew, by the pairs that contradict them.

A part that was registered by few points, as after a turn on the spot, has a pose and a scale of chance. Its
points are then no rigid copy of what the other pairs see, so that no similarity could move it as a whole.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from ..growing.bundle_adjustment import drop_unobserved, refine_until_stable
from ..growing.submodels import MappingContext, Submodel, extend, judged, without_images
from ..measures.inconsistent_parts import across, inconsistent_parts
from ..pose_consistency.pose_features import ModelEvidence
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.session import open_session
from .relocate import MAX_MOVES


def register_parts_anew(context: MappingContext, submodel: Submodel) -> Submodel:
    """The model with parts registered anew where their placements are then likelier right; itself: none is.

    Parts whose log-odds with the rest of the model are negative are tried, the most negative first.

    Args:
        context: with all pairs; without a judge, nothing is registered anew.
        submodel: settled, and without parts that could be relocated (`relocate_parts`); unchanged.
    """
    judge = context.judge
    if judge is None or submodel.is_depth_only:
        return submodel
    for _ in range(MAX_MOVES):
        anew = _with_one_anew(context, judge, submodel)
        if anew is None:
            break
        submodel = anew
    return submodel


def _with_one_anew(context: MappingContext, judge: PoseJudge, submodel: Submodel) -> Submodel | None:
    evidence = judge.evidence(submodel.reconstruction)
    log_odds = judge.placement_log_odds(submodel.reconstruction)
    present = {part: across(part, log_odds) for part in inconsistent_parts(submodel.names, log_odds)}
    doubted = (part for part, odds in present.items() if odds < 0)
    for part in sorted(doubted, key=lambda part: (present[part], sorted(part))):
        anew = _registered_anew(context, submodel, part, evidence)
        if anew is None:
            continue
        found = across(part, judge.placement_log_odds(anew.reconstruction))
        is_likelier = found > present[part]
        if is_likelier:
            submodel.journal.entries = anew.journal.entries
        submodel.journal.note(
            "registered_anew",
            names=sorted(part),
            log_odds=[round(present[part], 2), round(found, 2)],
            accepted=is_likelier,
        )
        if is_likelier:
            return judged(context, replace(anew, journal=submodel.journal))
    return None


def _registered_anew(
    context: MappingContext, submodel: Submodel, part: Set[str], evidence: ModelEvidence
) -> Submodel | None:
    """The model with the images of a part where pairs place them that contradict their present poses.

    None where there are no such pairs, or where not all images of the model stay.
    """
    pairs = {pair for pair in evidence.errors_px if (pair.a in part) != (pair.b in part)}
    agreeing = pairs & evidence.near
    if agreeing == pairs:
        return None
    anew = without_images(context, submodel, part)
    extend(replace(context, scene=context.scene.without(agreeing)), anew, part)
    if not anew.names >= submodel.names:
        return None
    with open_session(context.scene, context.options, anew.reconstruction) as session:
        session.triangulate_all()
        refine_until_stable(session, "registered anew", anew.journal)
        drop_unobserved(session, anew.journal)
        anew.names = session.registered
    return anew if anew.names >= submodel.names else None
