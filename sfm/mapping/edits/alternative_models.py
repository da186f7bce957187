"""Models grown with other pairs deferred, in place of those grown without the inconsistent pairs.

Which pairs are false is known by probability alone. To defer true pairs costs images, or breaks a model
apart: where no model has all images of a component, others are grown from all its pairs. To trust false pairs
folds a model: where one is probably folded, others are grown from the pairs that are most probably true.
Those are kept that place more pairs of images rightly, by the probabilities of their poses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, is_complete
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal

_TRUE = 0.8
"""Smallest probability of the pairs that are most probably true."""


def likelier_models(
    context: MappingContext,
    submodels: Sequence[Submodel],
    grow: Callable[[MappingContext, frozenset[Pair]], Sequence[Submodel]],
    judge: PoseJudge,
    journal: Journal,
) -> list[Submodel]:
    """The models, or in their place others, for each component the likeliest ones.

    Args:
        context: its scene has all pairs.
        submodels: models that were grown without the deferred pairs; those from depth alone stay as they are.
        grow: makes models of a scene, for now without some of its pairs.
        judge: of `submodels`.
        journal: records both expected numbers.
    """
    models = list(submodels)
    for component in context.scene.view_graph.components():
        mine = [one for one in models if one.names & component]
        if any(one.is_depth_only for one in mine):
            continue
        outside = {pair for pair in context.scene.view_graph.edges if pair.a not in component}
        present = judge
        for deferred in _other_deferrals(mine, component, judge):
            instead = replace(judge, deferred=judge.deferred & deferred)
            part = replace(context, scene=context.scene.without(outside), judge=instead)
            grown = grow(part, deferred)
            before = present.right_pairs([one.reconstruction for one in mine])
            after = instead.right_pairs([one.reconstruction for one in grown])
            journal.note(
                "alternative_models",
                num_images=len(component),
                num_deferred=len(deferred),
                right_pairs=round(before),
                right_pairs_instead=round(after),
                num_models=len(grown),
                kept=after > before,
            )
            if after > before:
                models = [*(one for one in models if one not in mine), *grown]
                mine, present = list(grown), instead
    return models


def _other_deferrals(
    models: Sequence[Submodel], component: Set[str], judge: PoseJudge
) -> Iterator[frozenset[Pair]]:
    """Pairs of a component that others of its models are grown without."""
    deferred = frozenset(pair for pair in judge.deferred if pair.a in component)
    if deferred and not any(is_complete(one, component) for one in models):
        yield frozenset()
    if any(judge.is_folded(one.reconstruction) for one in models):
        doubted = {pair for pair, chance in judge.probability.items() if chance < _TRUE}
        more = deferred | {pair for pair in doubted if pair.a in component}
        if more != deferred:
            yield more
