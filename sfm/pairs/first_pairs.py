"""Stage: the first scene graph, from retrieval over the photos' own descriptors and their metadata."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from retrieval import Edge, Pair, Reason, RetrievalConfig, SceneGraph
from retrieval.builders import build_scene_graph
from retrieval.hits import ImageIndex
from retrieval.mast3r_sfm_graph import check_pair_graph, needs_similarity
from retrieval.query_expansion import ExpandedRanking
from sfm.colmap.database import FeatureDatabase
from sfm.files.atomic import atomic_write_bytes, atomic_write_json
from sfm.ingest.photo_positions import positions_m, tell_neighbours
from sfm.matching import Backend
from sfm.pairs.photo_index import errors_for_users, open_index
from sfm.types import Collection
from sfm.untrusted.documents import fits, read_cache
from sfm.workspace.events import EventSink

from .ranking import Rank

PAIR_LIST = "proposed_pairs.txt"
"""In OUT: the pairs that `sfm retrieve` proposed."""

log = logging.getLogger(__name__)

_REASONS = frozenset(Reason)
_SCENE_GRAPH = "scene_graph.json"
_PROPOSED = "proposed_graph.json"


def propose_pairs(
    collection: Collection,
    database: FeatureDatabase,
    *,
    cache_dir: Path,
    backend: Backend,
    config: RetrievalConfig,
    seed: int,
    events: EventSink,
) -> tuple[SceneGraph, Rank]:
    """Choose the pairs that are matched first.

    Args:
        collection: photos, described in `database`.
        database: features of the photos.
        cache_dir: keeps the codebook and the index; photos added later are added to them.
        backend: describes photos for retrieval.
        config: retrieval options.
        seed: of the codebook's training.
        events: receives an `edge` event a pair and a `graph` event.

    Returns:
        The scene graph, and a function that ranks the photos most similar to a photo, for later requests.

    Raises:
        InputError: the pairs file is missing or names unknown photos.
        MissingDependencyError: the engine asmk is chosen and not installed.
    """
    config = without_unknown_positions(collection, config)
    if config.positions == "auto" and tell_neighbours(collection):
        # Positions say which photos see the same: matching all of a small collection gains nothing.
        config = replace(config, exhaustive_max_photos=0)
    use_positions = config.positions == "auto" or "spatial" in config.modes
    index = None
    if needs_index(len(collection.photos), config):
        index = open_index(
            collection, database, cache_dir=cache_dir, backend=backend, config=config, seed=seed
        )
    with errors_for_users():
        graph = build_scene_graph(
            collection.names,
            config,
            index=index,
            positions_m=positions_m(collection) if use_positions else {},
            timestamps=timestamps(collection),
            seed=seed,
        )
    publish_graph(graph, cache_dir, events)
    return graph, ranking(index, config)


def check_first_graph(config: RetrievalConfig, num_photos: int) -> None:
    """Refuse a first scene graph that so many photos cannot have, before any is described.

    Raises:
        InputError: saying why.
    """
    if "mast3r-sfm" in config.modes:
        with errors_for_users():
            check_pair_graph(config.mast3r_sfm_graph, num_photos)


def publish_graph(graph: SceneGraph, cache_dir: Path, events: EventSink) -> None:
    """Store a first scene graph, and emit an event for each of its pairs."""
    _save(graph, cache_dir / _PROPOSED)
    for pair in graph:
        edge = graph.edges[pair]
        events.emit(
            "retrieve",
            "edge",
            a=pair.a,
            b=pair.b,
            reason=str(edge.reason),
            score=edge.score,
            round=edge.round,
        )
    events.emit("retrieve", "graph", round=0, edges=len(graph), components=len(graph.components()))


def ranking(index: ImageIndex | None, config: RetrievalConfig) -> Rank:
    """Ranking of the photos most similar to one, for requests; an index that was not needed finds nothing."""
    if index is None:
        return lambda name, count: []
    query = ExpandedRanking(index).query if config.query_expansion else index.query
    return lambda name, count: [(hit.name, hit.score) for hit in query(name, count)]


def without_unknown_positions(collection: Collection, config: RetrievalConfig) -> RetrievalConfig:
    """Where no photo has a position, the other modes without spatial; mode retrieval where there is none."""
    if "spatial" not in config.modes or any(photo.position is not None for photo in collection.photos):
        return config
    mode = "+".join(mode for mode in config.modes if mode != "spatial") or "retrieval"
    log.warning("no photo has a GPS position: retrieval.mode=%s is used instead of %s", mode, config.mode)
    return replace(config, mode=mode)


def save_pair_list(graph: SceneGraph, out: Path) -> Path:
    """Write the proposed pairs as `retrieval.pairs_file` takes them: two names a line, a tab between."""
    path = out / PAIR_LIST
    atomic_write_bytes(path, "".join(f"{pair.a}\t{pair.b}\n" for pair in graph).encode())
    return path


def needs_index(num_photos: int, config: RetrievalConfig) -> bool:
    """Whether similarity decides anything: a pair, or a reason that retrieval gives beside exhaustive."""
    if "mast3r-sfm" in config.modes and needs_similarity(config.mast3r_sfm_graph):
        return True
    if "retrieval" in config.modes:
        return num_photos > config.exhaustive_max_photos
    return "exhaustive" not in config.modes


def timestamps(collection: Collection) -> dict[str, float]:
    """Capture time in seconds of every photo that has one."""
    return {p.name: p.exif.timestamp_s for p in collection.photos if p.exif.timestamp_s is not None}


def save_scene_graph(graph: SceneGraph, cache_dir: Path) -> None:
    """Store every proposed pair with its reason, for later runs."""
    _save(graph, cache_dir / _SCENE_GRAPH)


def _save(graph: SceneGraph, path: Path) -> None:
    edges = [
        [p.a, p.b, graph.edges[p].score, str(graph.edges[p].reason), graph.edges[p].round] for p in graph
    ]
    atomic_write_json(path, {"images": list(graph.images), "edges": edges})


def stored_edges(cache_dir: Path) -> dict[Pair, Edge]:
    """All pairs of the last finished run, and those that the last run of all began with."""
    return {**_load(cache_dir / _PROPOSED), **_load(cache_dir / _SCENE_GRAPH)}


def _load(path: Path) -> dict[Pair, Edge]:
    """The stored pairs; none, with a warning, where the file is damaged, since only reasons are lost."""
    stored = read_cache(path, {"edges": [list]})
    edges = {} if stored is None else {tuple(edge[:2]): edge for edge in stored["edges"] if _is_edge(edge)}
    if stored is not None and len(edges) < len(stored["edges"]):
        log.warning("%s: %d damaged pairs are left out", path, len(stored["edges"]) - len(edges))
    return {Pair.of(a, b): Edge(score, Reason(why), number) for a, b, score, why, number in edges.values()}


def _is_edge(edge: list[Any]) -> bool:
    fields = dict(zip(("a", "b", "score", "reason", "round"), edge, strict=False))
    shape = {"a": str, "b": str, "score": float, "reason": str, "round": int}
    if len(edge) != len(shape) or not fits(fields, shape):
        return False
    return fields["a"] != fields["b"] and fields["reason"] in _REASONS and 0 <= fields["score"] <= 1


def earlier_edges(cache_dir: Path, database: FeatureDatabase) -> dict[Pair, Edge]:
    """Pairs that the last finished run matched and that are still in the database."""
    edges, matched = _load(cache_dir / _SCENE_GRAPH), database.pairs()
    return {pair: edge for pair, edge in edges.items() if pair in matched}
