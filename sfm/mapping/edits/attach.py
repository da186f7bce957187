"""A part of a model put at a place of its base: which pairs across agree, and one model of both by these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import replace

import pycolmap

from retrieval import Pair

from ..growing.trials import Trial, Workbench, copied
from ..measures.agreement import CONTRADICTED_PX, median_errors_px
from ..scene.journal import Journal
from .admit_pairs import supported
from .merge import joined, transfer_poses


def agreeing(
    bench: Workbench,
    base: Trial,
    part: Trial,
    base_from_part: pycolmap.Sim3d,
    across: Iterable[Pair],
) -> frozenset[Pair]:
    """Of the verified pairs `across` both, those that do not contradict the part at this rough place."""
    rough = copied(base)
    transfer_poses(bench, rough.reconstruction, part, base_from_part)
    errors = median_errors_px(bench.scene, rough.reconstruction, across)
    return frozenset(pair for pair, error in errors.items() if error <= CONTRADICTED_PX)


def joined_by(
    bench: Workbench,
    base: Trial,
    part: Trial,
    across: Set[Pair],
    true: Set[Pair],
    suspects: Set[Pair],
    journal: Journal,
    *,
    base_from_part: pycolmap.Sim3d | None = None,
    accept: Callable[[Trial], bool] | None = None,
) -> Trial | None:
    """Both as one model, of the pairs `across` only by those that are `true`; else as `merge.joined`.

    Suspects within the base and within the part take part as far as these agree with them.
    """
    within = suspects - across
    for one in (base, part):
        true = true | supported(bench.scene, (one.reconstruction,), within)[0]
    rest = replace(bench, scene=bench.scene.without((across | suspects) - true))
    return joined(rest, base, part, journal, large_from_small=base_from_part, accept=accept)
