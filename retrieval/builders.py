"""The first scene graph, by the configured mode or mixture of modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .config import MODES, RetrievalConfig
from .errors import RetrievalError
from .hits import ImageIndex
from .mast3r_sfm_graph import needs_similarity, pair_graph
from .metadata_pairs import consecutive, exhaustive, from_pairs_file, sequential, spatial
from .retrieval_graph import retrieval_edges
from .scene_graph import Edge, Edges, Pair, Reason, SceneGraph

_BURST_GAP_S = 60.0
"""With mode retrieval, photos taken within this time of each other are paired."""
_GPS_NEIGHBOURS = 2
"""With mode retrieval, nearest photos by GPS that each photo is paired with."""
_LOOP_NEIGHBOURS = 4
"""Mode sequential: similar photos outside the overlap that each photo is paired with."""
_MAX_SIMILARITIES = 5000
"""Mode mast3r-sfm: photos whose similarities to each other fit into memory as a matrix (200 MB)."""


@dataclass(frozen=True, slots=True)
class _Known:
    names: Sequence[str]
    config: RetrievalConfig
    index: ImageIndex | None
    positions_m: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    timestamps: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


def build_scene_graph(
    names: Sequence[str],
    config: RetrievalConfig,
    *,
    index: ImageIndex | None = None,
    positions_m: Mapping[str, NDArray[np.float64]] | None = None,
    timestamps: Mapping[str, float] | None = None,
    seed: int = 0,
) -> SceneGraph:
    """Propose the pairs that are matched first.

    A mixture of modes gives the pairs of all of them; each pair keeps the reason of the first mode.

    Args:
        names: all photos in natural order of their names, which is taken for the capture order.
        index: needed by mode retrieval above `exhaustive_max_photos` and by the retrieval graphs of
            mast3r-sfm; used by sequential (loops) and spatial (photos without a position) where given.
        positions_m: (3,) east, north, up in metres, of the photos that have a position.
        timestamps: capture time in seconds, of the photos that have one.
        seed: of the first key photo in mode mast3r-sfm.

    Raises:
        RetrievalError: an option, a pairs file or an index that is missing or does not serve a mode.
    """
    known = _Known(tuple(names), config, index, positions_m or {}, timestamps or {}, seed)
    for mode in config.modes:
        if mode not in _BUILDERS:
            raise RetrievalError(f"retrieval.mode: there is no mode {mode!r}; there are {', '.join(MODES)}")
    edges: Edges = {}
    for mode in config.modes:
        edges = {**_BUILDERS[mode](known), **edges}
    return SceneGraph(tuple(names), edges)


def _retrieved(known: _Known) -> Edges:
    config = known.config
    if len(known.names) <= config.exhaustive_max_photos:
        return exhaustive(known.names)
    if known.index is None:
        raise RetrievalError("retrieval.mode=retrieval needs an index of the photos' descriptors")
    near = spatial(known.positions_m, _GPS_NEIGHBOURS, config.spatial_max_distance_m)
    return retrieval_edges(known.index, config, {**near, **consecutive(known.timestamps, _BURST_GAP_S)})


def _sequential(known: _Known) -> Edges:
    config, index = known.config, known.index
    edges = sequential(known.names, config.sequential_overlap)
    if index is not None and config.loop_detection:
        for name in known.names:
            # the photos of the overlap, before and after, are the likeliest hits
            hits = index.query(name, _LOOP_NEIGHBOURS + 2 * config.sequential_overlap)
            fresh = [hit for hit in hits if Pair.of(name, hit.name) not in edges][:_LOOP_NEIGHBOURS]
            edges.update(_scored(index, [Pair.of(name, hit.name) for hit in fresh]))
    return edges


def _spatial(known: _Known) -> Edges:
    config, index = known.config, known.index
    located = {name: known.positions_m[name] for name in known.names if name in known.positions_m}
    if not located:
        raise RetrievalError("retrieval.mode=spatial: no photo has a GPS position; use mode retrieval")
    edges = spatial(located, config.spatial_neighbours, config.spatial_max_distance_m)
    if index is not None:
        wanted = int(np.ceil(config.wanted_pairs_per_photo))
        lost = [name for name in known.names if name not in located]
        pairs = {Pair.of(name, hit.name) for name in lost for hit in index.query(name, wanted)}
        edges.update(_scored(index, sorted(pairs)))
    return edges


def _scored(index: ImageIndex, pairs: Sequence[Pair]) -> Edges:
    scores = index.similarities(pairs).tolist()
    return {pair: Edge(score, Reason.KNN) for pair, score in zip(pairs, scores, strict=True)}


def _listed(known: _Known) -> Edges:
    if known.config.pairs_file is None:
        raise RetrievalError("retrieval.mode=pairs needs retrieval.pairs_file: a text file, two names a line")
    edges = from_pairs_file(Path(known.config.pairs_file), known.names)
    if not edges and known.config.modes == ("pairs",):
        raise RetrievalError(f"{known.config.pairs_file}: lists no pair; write two photo names a line")
    return edges


def _mast3r_sfm(known: _Known) -> Edges:
    text, names = known.config.mast3r_sfm_graph, known.names
    similarity = None
    if needs_similarity(text):
        if len(names) > _MAX_SIMILARITIES:
            raise RetrievalError(
                f"retrieval.mast3r_sfm_graph={text} compares every photo with every other, which "
                f"{_MAX_SIMILARITIES} photos can be and {len(names)} cannot; use retrieval.mode=retrieval"
            )
        if known.index is None:
            raise RetrievalError(
                f"retrieval.mast3r_sfm_graph={text} needs an index of the photos' descriptors"
            )
        similarity = _similarity(names, known.index)
    return pair_graph(text, len(names), similarity=similarity, seed=known.seed).edges(names, similarity)


def _similarity(names: Sequence[str], index: ImageIndex) -> NDArray[np.float64]:
    """(N, N) scores in order of `names`, row: who asks."""
    positions = {name: i for i, name in enumerate(index.names)}
    order = [positions[name] for name in names]
    return np.array([index.scores(name)[order] for name in names], np.float64).reshape(len(names), len(names))


_BUILDERS: Mapping[str, Callable[[_Known], Edges]] = {
    "retrieval": _retrieved,
    "exhaustive": lambda known: exhaustive(known.names),
    "sequential": _sequential,
    "spatial": _spatial,
    "pairs": _listed,
    "mast3r-sfm": _mast3r_sfm,
}
