"""Pairs that looked like look-alikes', and that a model made without them agrees with.

In a thin view graph a true pair that closes a loop joins places that no other pair joins, as a look-alike's
does. The poses tell them apart once there are any: they come from the other pairs.
"""

from __future__ import annotations

from collections.abc import Set

import networkx as nx

from retrieval import Pair

from ..agreement import AGREED_PX, CONTRADICTED_PX
from .photo_quality import ModelQuality


def vindicated(quality: ModelQuality, doubtful: Set[Pair]) -> frozenset[Pair]:
    """Of the pairs that may be look-alikes', those that the model agrees with without hanging on them.

    Not those across the border of a part that cannot stand where it does: there look-alikes agree.

    Args:
        quality: of a finished model that was grown without `doubtful`.
        doubtful: pairs that may be look-alikes'.
    """
    part_of = {name: index for index, part in enumerate(firm_parts(quality, doubtful)) for name in part}
    agreeing = (pair for pair in doubtful if quality.errors_px.get(pair, CONTRADICTED_PX) <= AGREED_PX)
    return frozenset(
        pair
        for pair in agreeing
        if part_of[pair.a] == part_of[pair.b]
        and not any(len(part.names & {*pair}) == 1 for part in quality.denied)
    )


def firm_parts(quality: ModelQuality, doubtful: Set[Pair]) -> list[frozenset[str]]:
    """Photos that pairs link which the poses do not contradict, without `doubtful`; largest part first."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(quality.photos)
    kept = {pair for pair, error in quality.errors_px.items() if error <= CONTRADICTED_PX}
    graph.add_edges_from(sorted(kept - doubtful))
    parts = (frozenset(part) for part in nx.connected_components(graph))
    return sorted(parts, key=lambda part: (-len(part), min(part)))
