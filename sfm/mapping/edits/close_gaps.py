"""A gap in a large component is closed with a global model of the images around it.

Where a few images share matches with a model, but hardly a point, none can be registered next. Their own
model shares no points with it, either. Global SfM needs no common points, but costs too much for all images.
So it runs on the images around the gap, and its model overlaps with both sides.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import pycolmap

from ..growing.global_sfm import global_models
from ..growing.submodels import MappingContext, Submodel, copied
from ..measures.agreement import contradicted_matches, median_errors_px
from ..scene.journal import Journal
from ..scene.scene import Scene
from ..scene.view_graph import ViewGraph
from .join_overlapping import join_models

_MIN_MISSING = 3
"""Fewest images beyond the gap that make a model."""
_MAX_MISSING = 100
_MAX_STARTS = 3
_MIN_AGREEING = 0.5
"""Smallest share of agreeing matches across the gap."""
_AROUND = 60  # images of the large model that are mapped again with those


def close_gaps(
    context: MappingContext, models: Sequence[Submodel], component: Set[str], journal: Journal
) -> list[Submodel]:
    """The models, joined if a model of the images around the gap fits both sides.

    Args:
        context: with the scene that the models are to fit.
        models: of the component, largest first; left unchanged.
        component: connected images.
        journal: records the joins.
    """
    missing = component - models[0].names
    if not _MIN_MISSING <= len(missing) <= _MAX_MISSING:
        return list(models)
    around = _near(context.scene.view_graph, missing, models[0].names)
    registered = frozenset().union(*(model.names for model in models))
    first = context.options.mapper.random_seed
    for seed in range(first, first + _MAX_STARTS):
        between = global_models(context, missing | around, seed=seed)
        if not between or not between[0].names & missing or not between[0].names & models[0].names:
            continue
        whole = join_models(context, [*map(copied, models), between[0]], journal)[0]
        gained = whole.names >= registered and len(whole.names) > len(models[0].names)
        if gained and agreeing_share(context.scene, whole.reconstruction, missing) >= _MIN_AGREEING:
            return [whole]
    return list(models)


def agreeing_share(scene: Scene, model: pycolmap.Reconstruction, part: Set[str]) -> float:
    """Share of the matches between a part and the rest whose pairs agree with the model, in [0, 1]; 0 without
    such pairs."""
    edges = scene.view_graph.edges
    errors = median_errors_px(scene, model, (pair for pair in edges if len(part & {*pair}) == 1))
    inliers = {pair: edges[pair].num_inliers for pair in errors}
    return 1 - contradicted_matches(errors, errors, inliers) if errors else 0.0


def _near(graph: ViewGraph, start: Set[str], within: Set[str]) -> set[str]:
    """Images of a model within the fewest pairs of others, those with most inliers first."""
    found: set[str] = set()
    ring = sorted(start)
    while ring and len(found) < _AROUND:
        inliers: dict[str, int] = {}
        for name in ring:
            for other in graph.neighbours(name):
                if other in within and other not in found:
                    inliers[other] = inliers.get(other, 0) + graph.num_inliers(name, other)
        ring = sorted(inliers, key=lambda name: (-inliers[name], name))[: _AROUND - len(found)]
        found.update(ring)
    return found
