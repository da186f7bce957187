"""Models of overlapping clusters become one: aligned one after the other, adjusted once.

Where the verified pairs contradict the whole more than its parts, the parts are merged two at a time with
more checks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..growing.bundle_adjustment import refine_growing
from ..growing.submodels import MAX_CONTRADICTED, MappingContext, Submodel, copied, judged, without_images
from ..measures.soundness import MIN_COMMON_POINTS
from ..scene.journal import Journal
from ..scene.session import open_session
from .merge import MAX_CONTRADICTED_GROWTH, merge_models, similarity, tolerance, transfer_poses
from .shared_points import Ids, add_points, positions, shared_points

_MAX_GAP = 3.0
"""Times the error of a similarity: a common point with a larger distance counts as two points."""


def join_models(context: MappingContext, submodels: Sequence[Submodel], journal: Journal) -> list[Submodel]:
    """The models, joined where they share points and fit; models from depth alone as they are.

    Args:
        context: of the whole; the models have its ids.
        submodels: models that may have common images; they may be changed. Afterwards none has any.
        journal: records each join, and those that the verified pairs contradict.
    """
    left = _by_size([submodel for submodel in submodels if not submodel.is_depth_only])
    done: list[Submodel] = []
    while left:
        whole, parts, left = _gathered(context, left, journal)
        if len(parts) == 1:
            done += parts
        elif _settle(context, whole, parts, journal):
            done.append(whole)
        else:
            done += merge_models(context, _without_repeats(context, parts), journal)
    lifted = [submodel for submodel in submodels if submodel.is_depth_only]
    return _without_repeats(context, [*_by_size(done), *_by_size(lifted)])


def _by_size(submodels: Sequence[Submodel]) -> list[Submodel]:
    return sorted(submodels, key=lambda submodel: (-len(submodel.names), min(submodel.names)))


def _gathered(
    context: MappingContext, models: list[Submodel], journal: Journal
) -> tuple[Submodel, list[Submodel], list[Submodel]]:
    """The first of some models with all that fit on to it, these parts, and what is left over."""
    whole, parts, left = copied(models[0]), models[:1], models[1:]
    while left:
        same = [shared_points(whole.reconstruction, model.reconstruction) for model in left]
        order = sorted(range(len(left)), key=lambda k: (-len(same[k]), k))
        fits = (k for k in order if _join(context, whole, left[k], same[k], journal))
        if (joined := next(fits, None)) is None:
            break
        parts.append(left.pop(joined))
    return whole, parts, left


def _join(context: MappingContext, whole: Submodel, part: Submodel, same: Ids, journal: Journal) -> bool:
    """Bring a model into the frame of the whole and add its images and points, if they fit."""
    if len(same) < MIN_COMMON_POINTS:
        return False
    places = positions(whole.reconstruction, same[:, 0]), positions(part.reconstruction, same[:, 1])
    near_enough = tolerance(part.reconstruction)  # errors are measured in the smaller of both
    part_from_whole = similarity(context, *places, near_enough)
    if part_from_whole is not None:
        gaps = np.linalg.norm(part_from_whole * places[0] - places[1], axis=1)
        near = gaps <= _MAX_GAP * near_enough
        whole_from_part = part_from_whole.inverse()
        transfer_poses(context, whole.reconstruction, part, whole_from_part)
        add_points(whole.reconstruction, part.reconstruction, whole_from_part, same[near])
    journal.note(
        "join",
        num_images=[len(whole.names), len(part.names)],
        num_common_images=len(whole.names & part.names),
        num_common=len(same),
        accepted=part_from_whole is not None,
    )
    if part_from_whole is None:
        return False
    whole.journal.entries += [
        (event, fields)
        for event, fields in part.journal.entries
        if event != "registered" or fields["name"] not in whole.names
    ]
    whole.names |= part.names
    return True


def _settle(context: MappingContext, whole: Submodel, parts: Sequence[Submodel], journal: Journal) -> bool:
    """Close the seams of a model made of several; whether the verified pairs agree with it."""
    with open_session(context.scene, context.options, whole.reconstruction) as session:
        refine_growing(session, "joined", whole.journal)
        whole.names = session.registered
    judged(context, whole)
    apart = max(part.contradicted for part in parts)
    accepted = whole.contradicted <= max(MAX_CONTRADICTED, apart + MAX_CONTRADICTED_GROWTH)
    if not accepted:
        journal.note("join", num_images=[len(part.names) for part in parts], accepted=False)
    return accepted


def _without_repeats(context: MappingContext, models: Sequence[Submodel]) -> list[Submodel]:
    """The models without images that an earlier one has, those dropped that become too small."""
    kept: list[Submodel] = []
    taken: frozenset[str] = frozenset()
    for model in models:
        if repeated := model.names & taken:
            model = without_images(context, model, repeated)
        if len(model.names) >= context.options.pipeline.min_model_size:
            kept.append(model)
            taken |= model.names
    return kept
