"""Models of all images that pairs connect, component by component."""

from __future__ import annotations

from collections.abc import Sequence, Set

import networkx as nx

from sfm.config.schema import RegisterConfig

from ..measures.model_agreement import evidence_score
from ..measures.pair_turns import turning_pairs
from ..scene.journal import Journal
from ..scene.scene import Scene
from .focal_starts import best_of_starts
from .global_sfm import global_models
from .submodels import MAX_CONTRADICTED, MappingContext, Submodel

_MOST = 0.9


def new_models(
    context: MappingContext, config: RegisterConfig, models: Sequence[Submodel], discarded: Journal
) -> list[Submodel]:
    """Models of the images that `models` leave over, component by component."""
    submodels: list[Submodel] = []
    taken = frozenset().union(*(submodel.names for submodel in models))
    for component in context.scene.view_graph.components():
        while len(left := component - taken) >= config.min_model_size and len(submodels) < config.max_models:
            submodel = _new_model(context, left, discarded)
            if submodel is None or len(submodel.names) < config.min_model_size:
                break
            submodels.append(submodel)
            taken |= submodel.names
    return submodels


def _new_model(context: MappingContext, left: Set[str], discarded: Journal) -> Submodel | None:
    """A grown model; where it lacks images that parallax does not connect, the better of it and a global one.

    Growing takes an image by the points that it sees, and without parallax there are none. A global model
    takes moves along something flat for turns, and may be bent by these.
    """
    grown = best_of_starts(context, left, discarded)
    if context.options.frozen or _is_whole(grown, left) or _parallax_connects(context.scene, left):
        return grown
    found = [*global_models(context, left)[:1], *([grown] if grown else [])]
    return max(found, key=lambda one: evidence_score(context.scene, [one.reconstruction], left), default=None)


def _is_whole(submodel: Submodel | None, names: Set[str]) -> bool:
    """Whether a model has all images, and few pairs contradict it."""
    return submodel is not None and submodel.names >= names and submodel.contradicted <= MAX_CONTRADICTED


def _parallax_connects(scene: Scene, names: Set[str]) -> bool:
    """Whether the pairs of some images connect most of them without those that show a turn alone.

    It is true where depth stands in for parallax.
    """
    if scene.depth is not None:
        return True
    pairs = [pair for pair in scene.view_graph.edges if pair.a in names and pair.b in names]
    turns = turning_pairs(scene, pairs)
    graph: nx.Graph[str] = nx.Graph([(pair.a, pair.b) for pair in pairs if pair not in turns])
    return max(map(len, nx.connected_components(graph)), default=0) >= _MOST * len(names)
