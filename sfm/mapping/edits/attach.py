"""A part of a model put at a place of its base: which pairs across agree, and one model of both by these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import replace

import pycolmap

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, copied
from ..measures.agreement import CONTRADICTED_PX, median_errors_px
from ..scene.journal import Journal
from .admit_pairs import supported_pairs
from .merge import joined, transfer_poses


def agreeing(
    context: MappingContext,
    base: Submodel,
    part: Submodel,
    base_from_part: pycolmap.Sim3d,
    across: Iterable[Pair],
) -> frozenset[Pair]:
    """Of the verified pairs `across` both, those that do not contradict the part at this rough place."""
    rough = copied(base)
    transfer_poses(context, rough.reconstruction, part, base_from_part)
    errors = median_errors_px(context.scene, rough.reconstruction, across)
    return frozenset(pair for pair, error in errors.items() if error <= CONTRADICTED_PX)


def attach_part(
    context: MappingContext,
    base: Submodel,
    part: Submodel,
    across: Set[Pair],
    trusted: Set[Pair],
    deferred: Set[Pair],
    journal: Journal,
    *,
    base_from_part: pycolmap.Sim3d | None = None,
    accept: Callable[[Submodel], bool] | None = None,
) -> Submodel | None:
    """Both as one model, of the pairs `across` only by those that are `trusted`; else as `merge.joined`.

    Suspects within the base and within the part take part as far as these agree with them.
    """
    within = deferred - across
    for one in (base, part):
        trusted = trusted | supported_pairs(context.scene, (one.reconstruction,), within)[0]
    rest = replace(context, scene=context.scene.without((across | deferred) - trusted))
    return joined(rest, base, part, journal, large_from_small=base_from_part, accept=accept)
