"""Incomplete models of a component are replaced by new ones that join them or contain more images."""

from __future__ import annotations

from collections.abc import Sequence, Set

from ..growing.global_sfm import global_models
from ..growing.submodels import MAX_CONTRADICTED, MappingContext, Submodel
from ..growing.trials import best_model
from ..scene.journal import Journal
from .close_gaps import close_gaps

_MAX_RENEWED = 100  # images of a component that is mapped again whenever its model is incomplete
_MIN_RENEWED = 3
_MOST = 0.9  # of the images of a larger component; with fewer registered it is mapped again


def renewed_models(
    context: MappingContext, models: Sequence[Submodel], discarded: Journal, *, again: bool
) -> list[Submodel]:
    """The models, or in their place new ones that join them or contain more images.

    Args:
        context: scene without deferred pairs, and options.
        models: so far.
        discarded: receives the events of trials that are not kept.
        again: whether the models continue those of an earlier round, which had fewer pairs.
    """
    renewed = list(models)
    for component in context.scene.view_graph.components():
        old = sorted((t for t in renewed if t.names & component), key=lambda t: -len(t.names))
        registered = frozenset().union(*(submodel.names for submodel in old))
        sound = all(submodel.contradicted <= MAX_CONTRADICTED for submodel in old)
        if (len(old) == 1 and registered >= component and sound) or len(component) < _MIN_RENEWED:
            continue
        if sound and old and len(component) > _MAX_RENEWED:
            closed = close_gaps(context, old, component, discarded)
            renewed = [one for one in renewed if one not in old] + closed
            old, registered = closed, frozenset().union(*(submodel.names for submodel in closed))
            if len(old) == 1 and registered >= component:
                continue
        replacements: list[Submodel] = []
        if again and old and len(component) <= _MAX_RENEWED:
            found = best_model(context, component, discarded, max_trials=1)
            replacements += [found] if found else []
        if len(component) <= _MAX_RENEWED or len(registered) < _MOST * len(component) or len(old) > 1:
            replacements += global_models(context, component)[:1]
        for submodel in replacements:
            if submodel.names >= registered and _is_better(submodel, old, registered, sound=sound):
                renewed = [one for one in renewed if one not in old] + [submodel]
                old, registered = [submodel], submodel.names
                sound = submodel.contradicted <= MAX_CONTRADICTED
    return renewed


def _is_better(replacement: Submodel, old: Sequence[Submodel], registered: Set[str], *, sound: bool) -> bool:
    """Whether a new model of all images of some models is better than these models."""
    if not sound and len(old) == 1:
        return replacement.quality > old[0].quality
    if replacement.contradicted > MAX_CONTRADICTED:
        return False
    return (len(replacement.names), -1) > (len(registered), -len(old))
