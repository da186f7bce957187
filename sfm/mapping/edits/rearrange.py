"""Parts of models are split off, rejoined, and relocated, each step judged by what it makes."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import partial

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel
from ..scene.journal import Journal
from .judge import Judge, Step, apply_step
from .rejoin import rejoin_parts
from .relocate import relocate_parts
from .split import split_at_articulations


def rearranged_models(
    context: MappingContext, submodels: Sequence[Submodel], deferred: Set[Pair], discarded: Journal
) -> list[Submodel]:
    """The models with their parts where these are likelier right; the given ones are left unchanged.

    Args:
        context: with all pairs.
        submodels: of the scene.
        deferred: pairs that the models grew without.
        discarded: receives what is not kept.
    """
    steps: dict[str, Step] = {
        "split": partial(split_at_articulations, context),
        "rejoin": lambda parts: rejoin_parts(context, parts, deferred, discarded),
        "relocate": lambda models: [relocate_parts(context, one) for one in models],
    }
    judge, models = Judge.of(context.scene, context.options, context.judge), list(submodels)
    for name, step in steps.items():
        models = apply_step(judge, models, step, name, discarded)
    return models
