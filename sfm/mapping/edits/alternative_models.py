"""Models made from other pairs, or by global SfM, in place of those grown without the inconsistent pairs.

Which pairs are false is known by probability alone. To defer true pairs costs images, breaks a model apart,
or lets it drift. Where no model has all images of a component, or one is probably wrong, others are made
without those pairs alone that drift does not explain, by global SfM, which adds up no drift; then from all
pairs. To trust false pairs folds or bends a model: where one is probably wrong, others are grown from the
pairs that are most probably true, and from the strongest pairs of each image. The rest are admitted where
these agree with them. Those are kept that place more pairs of images rightly, by the probabilities of their
poses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from functools import partial

from retrieval import Pair

from ..growing.global_sfm import global_models
from ..growing.submodels import MappingContext, Submodel, is_complete
from ..pair_consistency.pair_features import strongest_pairs
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal
from .admit_pairs import admit_pairs
from .rearrange import rearranged_models

log = logging.getLogger(__name__)

_TRUE = 0.8
"""Smallest probability of the pairs that are most probably true."""

Mapper = Callable[[MappingContext, frozenset[Pair]], Sequence[Submodel]]
"""Makes models of the images of a scene, for now without some of its pairs."""


def likelier_models(
    context: MappingContext,
    submodels: Sequence[Submodel],
    grow: Mapper,
    judge: PoseJudge,
    journal: Journal,
    *,
    deferred_with_drift: Set[Pair] = frozenset(),
    place: Mapper | None = None,
) -> list[Submodel]:
    """The models, or in their place others, for each component the likeliest ones.

    Args:
        context: its scene has all pairs.
        submodels: models that were grown without the deferred pairs; those from depth alone stay as they are.
        grow: makes models image by image.
        judge: of `submodels`.
        journal: records both expected numbers, and why a mapper failed.
        deferred_with_drift: deferred pairs that are likelier false even where drift may explain what tracks
            and rotations say against them.
        place: makes models of all images together; None: by global SfM.
    """
    models, place = list(submodels), place or partial(_placed, journal=journal)
    for component in context.scene.view_graph.components():
        mine = [one for one in models if one.names & component]
        if any(one.is_depth_only for one in mine):
            continue
        edges, present = context.scene.view_graph.edges, judge
        inliers = {pair: edge.num_inliers for pair, edge in edges.items() if pair.a in component}
        deferred = frozenset(pair for pair in judge.deferred if pair.a in component)
        part = replace(context, scene=context.scene.without(edges.keys() - inliers.keys()))
        certain = deferred & deferred_with_drift
        doubted = frozenset(pair for pair in inliers if judge.probability[pair] < _TRUE)
        tried = {(grow, deferred)}
        for mapper, others, asks in (
            (place, certain, _is_wrong if certain == deferred else _is_doubtful),
            (grow, frozenset[Pair](), _is_doubtful),
            (grow, deferred | doubted, _is_wrong),
            (grow, deferred | (inliers.keys() - strongest_pairs(inliers)), _is_wrong),
        ):
            if (mapper, others) in tried or not asks(mine, component, present):
                continue
            tried.add((mapper, others))
            instead = replace(judge, deferred=judge.deferred & others)
            found = _made(mapper, replace(part, judge=instead), others, journal)
            before = present.right_pairs([one.reconstruction for one in mine])
            after = instead.right_pairs([one.reconstruction for one in found])
            journal.note(
                "alternative_models",
                num_images=len(component),
                how="global" if mapper is place else "growth",
                num_deferred=len(others),
                right_pairs=round(before),
                right_pairs_instead=round(after),
                num_models=len(found),
                kept=after > before,
            )
            if after > before:
                models = [*(one for one in models if one not in mine), *found]
                mine, present = found, instead
    return models


def _placed(part: MappingContext, left_out: frozenset[Pair], *, journal: Journal) -> list[Submodel]:
    """Models of all images that pairs connect, placed together."""
    trusted = replace(part, scene=part.scene.without(left_out))
    found = global_models(trusted, {name for pair in part.scene.view_graph.edges for name in pair})
    return rearranged_models(part, admit_pairs(part, found, left_out, journal), left_out, journal)


def _made(
    mapper: Mapper, part: MappingContext, left_out: frozenset[Pair], journal: Journal
) -> list[Submodel]:
    """Models by a mapper; none where it fails."""
    try:
        return list(mapper(part, left_out))
    except Exception as error:  # whatever it is, the models that are there are worth more
        log.warning("no alternative models; the models stay as they were", exc_info=True)
        why = f"it failed: {type(error).__name__}: {error}"
        journal.note("step_refused", step="alternative models", why=why)
        return []


def _is_doubtful(models: Sequence[Submodel], component: Set[str], judge: PoseJudge) -> bool:
    """Whether no model has all images of a component, or any is probably folded or bent."""
    return not any(is_complete(one, component) for one in models) or _is_wrong(models, component, judge)


def _is_wrong(models: Sequence[Submodel], component: Set[str], judge: PoseJudge) -> bool:
    """Whether any model is probably folded or bent."""
    return any(judge.is_wrong(one.reconstruction) for one in models)
