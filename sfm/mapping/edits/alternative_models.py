"""Models grown from all verified pairs, in place of those grown without the deferred pairs.

To defer true pairs costs images, or breaks a model apart: places that were visited twice are told from places
that look alike by probability alone. So where no model without the deferred pairs has all images, others are
grown from all pairs. Those are kept that place more pairs of images rightly, by the probabilities of their
poses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..growing.submodels import MappingContext, Submodel, is_complete
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal


def likelier_models(
    whole: MappingContext,
    submodels: Sequence[Submodel],
    grow: Callable[[MappingContext], Sequence[Submodel]],
    judge: PoseJudge,
    journal: Journal,
) -> list[Submodel]:
    """The models, or in their place those grown from all pairs, for each component the likelier ones.

    Args:
        whole: context whose scene has all pairs.
        submodels: models that were grown without the deferred pairs; those from depth alone stay as they are.
        grow: makes models of a whole scene.
        judge: of `submodels`.
        journal: records both expected numbers.
    """
    models = list(submodels)
    for component in whole.scene.view_graph.components():
        mine = [one for one in models if one.names & component]
        if not any(pair.a in component for pair in judge.deferred) or any(one.is_depth_only for one in mine):
            continue
        if any(is_complete(one, component) for one in mine):
            continue
        outside = {pair for pair in whole.scene.view_graph.edges if pair.a not in component}
        of_all = judge.with_all_pairs()
        grown = grow(replace(whole, scene=whole.scene.without(outside), judge=of_all))
        before = judge.right_pairs([one.reconstruction for one in mine])
        after = of_all.right_pairs([one.reconstruction for one in grown])
        journal.note(
            "alternative_models",
            num_images=len(component),
            right_pairs=round(before),
            right_pairs_of_all=round(after),
            num_models=len(grown),
            kept=after > before,
        )
        if after > before:
            models = [*(one for one in models if one not in mine), *grown]
    return models
