"""A gap in a large component, closed by a model of the photos around it.

Where a few photos share matches with a model, but hardly a point, no photo can be registered next, and their
own model has no points in common with it. All poses at once need no points, but for all photos they cost more
than everything else. So they are asked for around the gap, and that model overlaps with both sides.
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
"""Photos beyond the gap: fewer make no model, and one that nothing registers has no sure place."""
_MAX_MISSING = 100
_MAX_STARTS = 3
_MIN_AGREEING = 0.5
"""Of the matches across the gap. With one of three seeds eight photos of a street of 1,000 ended 24 m off."""
_AROUND = 60  # photos of the large model that are mapped again with those


def bridge_gaps(
    context: MappingContext, models: Sequence[Submodel], component: Set[str], journal: Journal
) -> list[Submodel]:
    """The models, or what they are joined to when the photos around the gap say how.

    Args:
        context: with the scene that the models are to fit.
        models: of the component, largest first; left unchanged.
        component: connected photos.
        journal: told of the joins.
    """
    missing = component - models[0].names
    if not _MIN_MISSING <= len(missing) <= _MAX_MISSING:
        return list(models)
    around = _near(context.scene.view_graph, missing, models[0].names)
    held = frozenset().union(*(model.names for model in models))
    first = context.options.mapper.random_seed
    for seed in range(first, first + _MAX_STARTS):
        bridges = global_models(context, missing | around, seed=seed)
        if not bridges or not bridges[0].names & missing or not bridges[0].names & models[0].names:
            continue
        whole = join_models(context, [*map(copied, models), bridges[0]], journal)[0]
        gained = whole.names >= held and len(whole.names) > len(models[0].names)
        if gained and agreeing_share(context.scene, whole.reconstruction, missing) >= _MIN_AGREEING:
            return [whole]
    return list(models)


def agreeing_share(scene: Scene, model: pycolmap.Reconstruction, part: Set[str]) -> float:
    """Share of the matches between a part of a model and the rest whose pairs agree with it, in [0, 1].

    0 where the model has no such pair. What is beyond a gap agrees with itself wherever it lies.
    """
    edges = scene.view_graph.edges
    errors = median_errors_px(scene, model, (pair for pair in edges if len(part & {*pair}) == 1))
    inliers = {pair: edges[pair].num_inliers for pair in errors}
    return 1 - contradicted_matches(errors, errors, inliers) if errors else 0.0


def _near(graph: ViewGraph, start: Set[str], within: Set[str]) -> set[str]:
    """Photos of a model that the fewest pairs lead to, ring by ring, those with most inliers first."""
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
