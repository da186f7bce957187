"""The first scene graph, by the configured mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .config import RetrievalConfig
from .engine import ImageIndex
from .errors import RetrievalError
from .priors import consecutive, exhaustive, from_pairs_file, sequential, spatial
from .retrieval_graph import retrieval_edges
from .scene_graph import Edge, Edges, Pair, Reason, SceneGraph

_BURST_GAP_S = 60.0
"""With mode retrieval, photos taken within this time of each other are paired."""
_GPS_NEIGHBOURS = 2
"""With mode retrieval, nearest photos by GPS that each photo is paired with."""
_LOOP_NEIGHBOURS = 4
"""Mode sequential: look-alikes outside the overlap that each photo is paired with."""


def build_scene_graph(
    names: Sequence[str],
    config: RetrievalConfig,
    *,
    index: ImageIndex | None = None,
    positions_m: Mapping[str, NDArray[np.float64]] | None = None,
    timestamps: Mapping[str, float] | None = None,
) -> SceneGraph:
    """Propose the pairs that are matched first.

    Args:
        names: all photos in natural order of their names, which is taken for the capture order.
        config: mode and its options.
        index: look-alikes. Needed by mode retrieval above `exhaustive_max_photos`; used by sequential (loops)
            and spatial (photos without a position) where given.
        positions_m: (3,) east, north, up in metres, of the photos that have a position.
        timestamps: capture time in seconds, of the photos that have one.

    Raises:
        RetrievalError: a pairs file that cannot be used, mode spatial without any position, or no index where
            the mode needs one.
    """
    positions, times = positions_m or {}, timestamps or {}
    if config.mode == "exhaustive":
        edges = exhaustive(names)
    elif config.mode == "sequential":
        edges = _sequential(names, config, index)
    elif config.mode == "spatial":
        edges = _spatial(names, config, index, positions)
    elif config.mode == "pairs":
        edges = _listed(names, config)
    else:
        edges = _retrieved(names, config, index, positions, times)
    return SceneGraph(tuple(names), edges)


def _retrieved(
    names: Sequence[str],
    config: RetrievalConfig,
    index: ImageIndex | None,
    positions: Mapping[str, NDArray[np.float64]],
    times: Mapping[str, float],
) -> Edges:
    if len(names) <= config.exhaustive_max_photos:
        return exhaustive(names)
    if index is None:
        raise RetrievalError("retrieval.mode=retrieval needs an index of the photos' descriptors")
    near = spatial(positions, _GPS_NEIGHBOURS, config.spatial_max_distance_m)
    return retrieval_edges(index, config, {**near, **consecutive(times, _BURST_GAP_S)})


def _sequential(names: Sequence[str], config: RetrievalConfig, index: ImageIndex | None) -> Edges:
    edges = sequential(names, config.sequential_overlap)
    if index is not None and config.loop_detection:
        for name in names:
            # the photos of the overlap, before and after, are the likeliest hits
            hits = index.query(name, _LOOP_NEIGHBOURS + 2 * config.sequential_overlap)
            fresh = [hit for hit in hits if Pair.of(name, hit.name) not in edges][:_LOOP_NEIGHBOURS]
            edges.update(_scored(index, [Pair.of(name, hit.name) for hit in fresh]))
    return edges


def _spatial(
    names: Sequence[str],
    config: RetrievalConfig,
    index: ImageIndex | None,
    positions: Mapping[str, NDArray[np.float64]],
) -> Edges:
    located = {name: positions[name] for name in names if name in positions}
    if not located:
        raise RetrievalError("retrieval.mode=spatial: no photo has a GPS position; use mode retrieval")
    edges = spatial(located, config.spatial_neighbours, config.spatial_max_distance_m)
    if index is not None:
        wanted = int(np.ceil(config.wanted_pairs_per_photo))
        lost = [name for name in names if name not in located]
        pairs = {Pair.of(name, hit.name) for name in lost for hit in index.query(name, wanted)}
        edges.update(_scored(index, sorted(pairs)))
    return edges


def _scored(index: ImageIndex, pairs: Sequence[Pair]) -> Edges:
    scores = index.similarities(pairs).tolist()
    return {pair: Edge(score, Reason.KNN) for pair, score in zip(pairs, scores, strict=True)}


def _listed(names: Sequence[str], config: RetrievalConfig) -> Edges:
    if config.pairs_file is None:
        raise RetrievalError("retrieval.mode=pairs needs retrieval.pairs_file: a text file, two names a line")
    return from_pairs_file(Path(config.pairs_file), names)
