"""Parts that visual aliasing has misplaced are relocated to where most of their pairs place them.

Pairs are trusted in the order of their strength, and one strong false pair supports all others between the
same two places. The true pairs of the part then contradict the model and are not used. In a finished model
these pairs can be counted together: a weakly connected part moves to an alternative placement with far more
agreeing matches. Fewer suffice where images do not match others with predicted overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Set
from functools import cache, partial

import pycolmap

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, without_images
from ..measures.agreement import AGREED_PX, contradicted_share, median_errors_px
from ..measures.covisibility import PredictedCovisibility
from ..measures.covisibility_test import CovisibilityTest, covisibility_test
from ..pair_consistency.missing_correspondences import context_agreement
from ..scene.journal import Journal
from ..scene.options import MapperOptions
from ..scene.pair_matches import PairMatches
from ..scene.scene import Scene
from ..scene.view_graph import TwoView
from .alternative_poses import OUTVOTED_IF_INCONSISTENT, AlternativePlacement, alternative_placements
from .merge import MIN_KEPT, attach_part

_OUTVOTED = 1.5
"""Smallest ratio of votes for an alternative to votes for the present placement."""
_MAX_MOVES = 10


def relocate_parts(
    scene: Scene,
    model: pycolmap.Reconstruction,
    options: MapperOptions,
    deferred: Set[Pair],
    journal: Journal,
) -> pycolmap.Reconstruction | None:
    """The model with parts at the placements that most matches across agree with; None: no part moves.

    Args:
        scene: with all pairs.
        model: settled, so that pairs contradict its placements and not rough poses; unchanged.
        options: of the mapper.
        deferred: pairs that may be false.
        journal: records each attempt.
    """
    context = MappingContext(scene, options, lambda name: None)
    submodel = start = Submodel.of(model)
    for _ in range(_MAX_MOVES):
        moves = sorted(
            _relocations(context, submodel, deferred),
            key=lambda move: (-move.gain, len(move.part), min(move.part)),
        )
        done = (_relocated(context, submodel, move, deferred, journal) for move in moves)
        found = next((moved for moved in done if moved is not None), None)
        if found is None:
            break
        submodel = found
    if submodel is start:
        return None
    return submodel.reconstruction


def _relocations(
    context: MappingContext, submodel: Submodel, deferred: Set[Pair]
) -> Iterator[AlternativePlacement]:
    edges, matches = context.scene.view_graph.edges, cache(context.scene.pair_matches)
    for move in alternative_placements(context, submodel, deferred):
        by_context = partial(_votes_ratio_by_context, edges, matches, move)
        if is_relocation(move.here, move.there, move.votes(edges), by_context):
            yield move


def is_relocation(
    here: CovisibilityTest, there: CovisibilityTest, votes: tuple[int, int], by_context: Callable[[], float]
) -> bool:
    """Whether a part belongs at its alternative placement.

    Args:
        here: of the present placement. Where it is inconsistent, fewer matches suffice for the other.
        there: of the alternative placement, which must not be inconsistent itself.
        votes: matches that agree with the present and with the alternative placement alone.
        by_context: the ratio of the second votes to the first, weighted by agreement of context.
    """
    if there.is_inconsistent:
        return False
    present, other = votes
    if here.is_inconsistent:
        enough = OUTVOTED_IF_INCONSISTENT if there.num_agreeing else _OUTVOTED
        return there.share > here.share and other >= enough * present
    if there.is_certain and not here.is_consistent:
        return other > present and by_context() > 1
    return other >= _OUTVOTED * present and by_context() >= _OUTVOTED


def _relocated(
    context: MappingContext,
    submodel: Submodel,
    move: AlternativePlacement,
    deferred: Set[Pair],
    journal: Journal,
) -> Submodel | None:
    scene, part = context.scene, move.part
    base = without_images(context, submodel, part)
    moving = without_images(context, submodel, submodel.names - part)

    def is_better(whole: Submodel) -> bool:
        before, after = submodel.reconstruction, whole.reconstruction
        kept = after.compute_num_observations() >= MIN_KEPT * before.compute_num_observations()
        if not kept or not whole.names >= submodel.names:
            return False
        if move.here.is_inconsistent:
            place = _place_in(scene, after, move)
            return not place.is_inconsistent and place.num_inconsistent < move.here.num_inconsistent
        return contradicted_share(scene, after) < contradicted_share(scene, before)

    whole = attach_part(
        context,
        base,
        moving,
        move.across,
        move.other,
        deferred,
        journal,
        base_from_part=move.base_from_part,
        accept=is_better,
    )
    journal.note(
        "relocated",
        names=sorted(part),
        num_matches=list(move.votes(scene.view_graph.edges)),
        num_inconsistent=[move.here.num_inconsistent, move.there.num_inconsistent],
        accepted=whole is not None,
    )
    return whole


def _place_in(scene: Scene, model: pycolmap.Reconstruction, move: AlternativePlacement) -> CovisibilityTest:
    errors = median_errors_px(scene, model, move.across)
    trusted = {pair for pair, error in errors.items() if error <= AGREED_PX}
    return covisibility_test(
        PredictedCovisibility.of(model).overlaps(move.part), move.part, scene.tried, trusted
    )


def _votes_ratio_by_context(
    edges: Mapping[Pair, TwoView], matches: Callable[[], PairMatches], move: AlternativePlacement
) -> float:
    """Votes for the alternative over votes for the present placement, weighted by agreement of context."""
    agreement = context_agreement(matches(), move.present | move.other)
    agreed = {pair: edges[pair].num_inliers * share**2 for pair, share in agreement.items()}
    here, there = (sum(agreed[pair] for pair in pairs) for pairs in (move.present, move.other))
    return there / here if here > 0 else math.inf
