"""Models of all images that pairs connect, component by component."""

from __future__ import annotations

from collections.abc import Sequence

from sfm.config.schema import RegisterConfig

from ..scene.journal import Journal
from .reversed_motion import best_of_motions
from .submodels import MappingContext, Submodel


def new_models(
    context: MappingContext, config: RegisterConfig, models: Sequence[Submodel], discarded: Journal
) -> list[Submodel]:
    """Models of the images that `models` leave over, component by component."""
    submodels: list[Submodel] = []
    taken = frozenset().union(*(submodel.names for submodel in models))
    for component in context.scene.view_graph.components():
        while len(left := component - taken) >= config.min_model_size and len(submodels) < config.max_models:
            submodel = best_of_motions(context, left, discarded)
            if submodel is None or len(submodel.names) < config.min_model_size:
                break
            submodels.append(submodel)
            taken |= submodel.names
    return submodels
