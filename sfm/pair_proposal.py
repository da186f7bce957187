"""Stage: the first scene graph, from retrieval over the photos' own descriptors and their metadata."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Edge, Pair, Reason, RetrievalConfig, SceneGraph
from retrieval.builders import build_scene_graph
from retrieval.codebook import Codebook, train_codebook
from retrieval.engine import ImageIndex, build_index
from retrieval.errors import MissingEngineError, RetrievalError
from retrieval.index import RetrievalIndex
from retrieval.query_expansion import ExpandedRanking
from sfm.backends import Backend
from sfm.database import FeatureDatabase
from sfm.errors import InputError, MissingDependencyError
from sfm.events import EventSink
from sfm.loop import Rank
from sfm.types import Collection
from sfm.workspace import atomic_write_bytes, atomic_write_json, content_key

log = logging.getLogger(__name__)

_VERSION = 2
_SCENE_GRAPH = "scene_graph.json"


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
    config = _with_positions(collection, config)
    try:
        index = _index(collection, database, cache_dir, backend, config, seed)
        graph = build_scene_graph(
            collection.names,
            config,
            index=index,
            positions_m=positions_enu(collection),
            timestamps=_timestamps(collection),
        )
    except MissingEngineError as error:
        raise MissingDependencyError(str(error)) from error
    except RetrievalError as error:
        raise InputError(str(error)) from error
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

    return graph, _rank(index, config)


def _rank(index: ImageIndex | None, config: RetrievalConfig) -> Rank:
    """Ranking for later requests; an index that was not needed finds nothing."""
    if index is None:
        return lambda name, count: []
    query = ExpandedRanking(index).query if config.query_expansion else index.query
    return lambda name, count: [(hit.name, hit.score) for hit in query(name, count)]


def _with_positions(collection: Collection, config: RetrievalConfig) -> RetrievalConfig:
    """Mode retrieval in the place of spatial where no photo has a position."""
    if config.mode != "spatial" or any(p.exif.latitude_deg is not None for p in collection.photos):
        return config
    log.warning("no photo has a GPS position: retrieval.mode=retrieval is used instead of spatial")
    return replace(config, mode="retrieval")


def save_pair_list(graph: SceneGraph, cache_dir: Path) -> Path:
    """Write the proposed pairs as `retrieval.pairs_file` takes them: two names a line, a tab between."""
    path = cache_dir / "proposed_pairs.txt"
    atomic_write_bytes(path, "".join(f"{pair.a}\t{pair.b}\n" for pair in graph).encode())
    return path


def needs_index(num_photos: int, config: RetrievalConfig) -> bool:
    """Whether similarity decides anything: not where all pairs are matched anyway."""
    exhaustive = config.mode == "exhaustive" or (
        config.mode == "retrieval" and num_photos <= config.exhaustive_max_photos
    )
    return not exhaustive


def positions_enu(collection: Collection) -> dict[str, NDArray[np.float64]]:
    """East, north, up `(3,)` in metres of every photo with GPS, relative to the first of them."""
    located = [p for p in collection.photos if p.exif.latitude_deg is not None]
    if not located:
        return {}
    ellipsoid = np.array(
        [[p.exif.latitude_deg, p.exif.longitude_deg, p.exif.altitude_m or 0.0] for p in located]
    )
    enu = np.asarray(pycolmap.GPSTransform().ellipsoid_to_enu(ellipsoid, *ellipsoid[0]))
    return {photo.name: position for photo, position in zip(located, enu, strict=True)}


def _timestamps(collection: Collection) -> dict[str, float]:
    return {p.name: p.exif.timestamp_s for p in collection.photos if p.exif.timestamp_s is not None}


def _index(
    collection: Collection,
    database: FeatureDatabase,
    cache_dir: Path,
    backend: Backend,
    config: RetrievalConfig,
    seed: int,
) -> ImageIndex | None:
    """The index over all photos, from an earlier run when they are the same; None when nothing needs it."""
    if not needs_index(len(collection.photos), config):
        return None
    options = (config.engine, config.num_descriptors, config.binary, config.multiple_assignment)
    # A codebook stays good while a collection grows a little: it is trained anew at each doubling.
    size_class = len(collection.photos).bit_length()
    training = (seed, config.num_descriptors, config.codebook_size, size_class)
    codebook_key = content_key("codebook", _VERSION, backend.retrieval_key(collection), *training)
    photos = [(photo.name, photo.sha256) for photo in collection.photos]
    path = (
        cache_dir / "index" / f"{content_key('index', _VERSION, codebook_key, options, photos)}.safetensors"
    )
    if path.exists():
        return RetrievalIndex.load(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptors = backend.retrieval_descriptors(collection, database, collection.names)
    codebook = backend.codebook() or _codebook(
        cache_dir / "index" / f"codebook-{codebook_key}.safetensors", descriptors, config, seed
    )
    index = build_index(codebook, descriptors, config)
    if isinstance(index, RetrievalIndex):
        for stale in path.parent.glob("*.safetensors"):
            if not stale.name.startswith("codebook-"):
                stale.unlink()
        index.save(path)
    return index


def _codebook(
    path: Path, descriptors: Mapping[str, NDArray[np.float32]], config: RetrievalConfig, seed: int
) -> Codebook:
    if path.exists():
        return Codebook.load(path)
    codebook = train_codebook(descriptors.values(), config.codebook_size, seed=seed)
    codebook.save(path)
    return codebook


def save_scene_graph(graph: SceneGraph, cache_dir: Path) -> None:
    """Keep every proposed pair with its reason, so that a later run knows what was matched and why."""
    edges = [
        [p.a, p.b, graph.edges[p].score, str(graph.edges[p].reason), graph.edges[p].round] for p in graph
    ]
    atomic_write_json(cache_dir / _SCENE_GRAPH, {"images": list(graph.images), "edges": edges})


def earlier_edges(cache_dir: Path, database: FeatureDatabase) -> dict[Pair, Edge]:
    """Pairs that the last finished run matched and that are still in the database."""
    path = cache_dir / _SCENE_GRAPH
    if not path.exists():
        return {}
    matched = database.pairs()
    stored = json.loads(path.read_text(encoding="utf-8"))["edges"]
    edges = {Pair.of(a, b): Edge(score, Reason(reason), number) for a, b, score, reason, number in stored}
    return {pair: edge for pair, edge in edges.items() if pair in matched}
