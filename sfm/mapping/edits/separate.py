"""Parts that visual aliasing has misplaced become models of their own where no other placement is known.

What joins such a part with the rest are false pairs alone. Apart, both models are right, and pairs between
them are looked for as between any two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..growing.submodels import MappingContext, Submodel, judged, note_registered, without_images
from ..measures.inconsistent_parts import inconsistent_parts, placement_log_odds
from ..pose_consistency.pose_judge import PoseJudge

_FALSE = 0.5
"""Mean probability below which the pairs that join a part are likelier false."""


def separate_parts(context: MappingContext, submodels: Sequence[Submodel]) -> list[Submodel]:
    """The models, with parts apart by which more pairs of images are placed rightly.

    Only where the scene has photos: of what images observe again, a database alone knows too little.

    Args:
        context: with all pairs; without a judge, no part is separated.
        submodels: left unchanged, the same objects where nothing is separated.
    """
    if context.judge is None or context.scene.photos is None:
        return list(submodels)
    waiting, done = list(submodels), list[Submodel]()
    while waiting:
        submodel = waiting.pop(0)
        parts = None if submodel.is_depth_only else _separated(context, context.judge, submodel)
        if parts:
            waiting = [*parts, *waiting]
        else:
            done.append(submodel)
    return done


def _separated(context: MappingContext, judge: PoseJudge, submodel: Submodel) -> list[Submodel]:
    """Two models of the images of one, by which most pairs are right; none: it is better as it is.

    The pairs that join both have to be likelier false: photos look unlike in a bent model, too.
    """
    evidence = judge.evidence(submodel.reconstruction)
    log_odds = placement_log_odds(evidence.consistency, evidence.errors_px, evidence.probability)
    best, most = list[Submodel](), judge.right_pairs([submodel.reconstruction])
    least = context.options.pipeline.min_model_size
    for part in inconsistent_parts(submodel.names, log_odds):
        joining = [evidence.probability[pair] for pair in evidence.agreeing if len(part & {*pair}) == 1]
        if min(len(part), len(submodel.names - part)) < least or sum(joining) >= _FALSE * len(joining) > 0:
            continue
        rest, alone = (without_images(context, submodel, names) for names in (part, submodel.names - part))
        if rest.names | alone.names != submodel.names:
            continue
        found = judge.right_pairs([rest.reconstruction, alone.reconstruction])
        if found > most:
            best, most = [rest, replace(Submodel.of(alone.reconstruction), seed=submodel.seed)], found
    if best:
        rest, alone = best
        rest.journal.note("separated", names=sorted(alone.names))
        note_registered(context, alone, "separated")
    return [judged(context, one) for one in best]
