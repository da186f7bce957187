"""A gap in a large component, closed by a model of the photos around it.

Where a few photos share matches with a model, but hardly a point, no photo can be registered next, and their
own model has no points in common with it. All poses at once need no points, but for all photos they cost more
than everything else. So they are asked for around the gap, and that model overlaps with both sides.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from ..evidence.view_graph import ViewGraph
from ..growing.global_start import global_models
from ..growing.trials import Trial, Workbench
from ..joining.merge import copied
from ..journal import Journal
from .joining import join_models

_MIN_MISSING = (
    3  # photos beyond the gap: fewer make no model, and one that nothing registers has no sure place
)
_MAX_MISSING = 100
_AROUND = 60  # photos of the large model that are mapped again with those


def bridged_models(
    bench: Workbench, models: Sequence[Trial], component: Set[str], journal: Journal
) -> list[Trial]:
    """The models, or what they are joined to when the photos around the gap say how.

    Args:
        bench: with the scene that the models are to fit.
        models: of the component, largest first; left unchanged.
        component: connected photos.
        journal: told of the joins.
    """
    missing = component - models[0].names
    if not _MIN_MISSING <= len(missing) <= _MAX_MISSING:
        return list(models)
    around = _near(bench.scene.view_graph, missing, models[0].names)
    bridges = global_models(bench, missing | around)
    if not bridges or not bridges[0].names & missing or not bridges[0].names & models[0].names:
        return list(models)
    joined = join_models(bench, [*map(copied, models), bridges[0]], journal)
    held = frozenset().union(*(model.names for model in models))
    gained = joined[0].names >= held and len(joined[0].names) > len(models[0].names)
    return joined[:1] if gained else list(models)


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
