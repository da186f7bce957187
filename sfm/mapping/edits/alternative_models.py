"""Other models in place of those grown without the inconsistent pairs, where they are likelier right.

Growing takes an image by the points that it sees, so it ends where images share matches, but hardly a point:
where no model has all images of a component, it is compared with one by global SfM. Which pairs are false is
known by probability alone. Deferring true pairs breaks a model apart, too: another is grown from all pairs.
Trusting false pairs folds or bends a model. Where many poses are probably wrong, models are grown from the
most probable pairs, and from each image's strongest pairs; the other pairs are admitted where they agree.
Growing itself bends models of images that hardly moved: one that is probably wrong is compared with one of
all pairs by global SfM. Those are kept that are likelier right (`PoseJudge.gain`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, is_complete
from ..pair_consistency.pair_features import strongest_pairs
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal

_TRUE = 0.8
"""Smallest probability of the pairs that are most probably true."""

_MOSTLY_RIGHT = 0.75
"""Share of the pairs of images expected right, above which models from fewer pairs are hardly better."""


def likelier_models(
    context: MappingContext,
    submodels: Sequence[Submodel],
    grow: Callable[[MappingContext, frozenset[Pair], bool], Sequence[Submodel]],
    judge: PoseJudge,
    journal: Journal,
) -> list[Submodel]:
    """The models, or in their place others, for each component the likeliest ones.

    Args:
        context: its scene has all pairs.
        submodels: models that were grown without the deferred pairs; those from depth alone stay as they are.
        grow: makes models of a scene without the given pairs; its last argument: whether by global SfM.
        judge: of `submodels`.
        journal: records both expected numbers.
    """
    models = list(submodels)
    for component in context.scene.view_graph.components():
        mine = [one for one in models if one.names & component]
        edges, present = context.scene.view_graph.edges, judge
        inliers = {pair: edge.num_inliers for pair, edge in edges.items() if pair.a in component}
        if not inliers or any(one.is_depth_only for one in mine):
            continue
        deferred = frozenset(pair for pair in judge.deferred if pair.a in component)
        part = replace(context, scene=context.scene.without(edges.keys() - inliers.keys()))
        likely = deferred | {pair for pair in inliers if judge.probability[pair] < _TRUE}
        tried = {(deferred, False)}
        for asks, others, by_global in (
            (_is_in_parts, deferred, True),
            (_is_in_parts, frozenset[Pair](), False),
            (_is_doubtful, frozenset[Pair](), True),
            (_is_worth_fewer_pairs, likely, False),
            (_is_worth_fewer_pairs, deferred | (inliers.keys() - strongest_pairs(inliers)), False),
        ):
            if (others, by_global) in tried or not asks(mine, component, present):
                continue
            tried.add((others, by_global))
            instead = replace(judge, deferred=judge.deferred & others)
            grown = grow(replace(part, judge=instead), others, by_global)
            before, after = ([one.reconstruction for one in side] for side in (mine, grown))
            gain = instead.gain(after, before, present)
            journal.note(
                "alternative_models",
                num_images=len(component),
                num_deferred=len(others),
                by_global=by_global,
                right_pairs=round(present.right_pairs(before)),
                right_pairs_instead=round(instead.right_pairs(after)),
                num_models=len(grown),
                kept=gain > 0,
            )
            if gain > 0:
                models = [*(one for one in models if one not in mine), *grown]
                mine, present = list(grown), instead
    return models


def _is_in_parts(models: Sequence[Submodel], component: Set[str], judge: PoseJudge) -> bool:
    """Whether no model has all images of a component."""
    return not any(is_complete(one, component) for one in models)


def _is_doubtful(models: Sequence[Submodel], component: Set[str], judge: PoseJudge) -> bool:
    return _is_in_parts(models, component, judge) or _is_wrong(models, component, judge)


def _is_worth_fewer_pairs(models: Sequence[Submodel], component: Set[str], judge: PoseJudge) -> bool:
    """Whether models are probably folded or bent, and so many poses wrong that others can be far likelier."""
    right = judge.right_pairs([one.reconstruction for one in models])
    return right < _MOSTLY_RIGHT * len(component) ** 2 and _is_wrong(models, component, judge)


def _is_wrong(models: Sequence[Submodel], component: Set[str], judge: PoseJudge) -> bool:
    """Whether any model is probably folded or bent."""
    return any(judge.is_wrong(one.reconstruction) for one in models)
