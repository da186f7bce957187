"""Pairs worth matching for photos that are added: the most similar photos, old and new."""

from collections.abc import Set
from dataclasses import replace
from math import ceil

from retrieval import Edge, Pair, Reason, RetrievalConfig, SceneGraph
from retrieval.builders import build_scene_graph
from sfm.colmap.database import FeatureDatabase
from sfm.ingest.photo_positions import positions_m
from sfm.pairs.first_pairs import publish_graph, ranking, timestamps, without_unknown_positions
from sfm.pairs.photo_index import errors_for_users, open_index
from sfm.pairs.ranking import Rank
from sfm.stages.session import PhotoSession
from sfm.stages.stages import first_graph_options
from sfm.types import Collection

_PARTNERS_PER_PAIR = 1.5
"""Partners of a new photo, as a multiple of a run's pairs a photo."""
_KNOWN_WITHOUT_INDEX = frozenset({"sequential", "spatial", "pairs"})


def propose_for_new(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    *,
    new: Set[str],
    registered: Set[str],
) -> tuple[SceneGraph, Rank]:
    """Stage: each new photo with the photos that look most like it.

    At least half of its partners are photos of the model, as far as any are similar at all. Where similarity
    chooses pairs, and the collection is as small as those that a run matches exhaustively, each new photo is
    paired with every other. Where the run was configured to choose pairs by capture order, position or a
    list, pairs of the new photos by that come first.

    Args:
        collection: all photos, described in `database`.
        new: photos that are to be added.
        registered: photos that have a pose.

    Returns:
        The pairs, each with a new photo, and retrieval's ranking for later requests.
    """
    config = without_unknown_positions(collection, first_graph_options(session.config))
    space = session.workspace
    with session.stage("retrieve") as counts, errors_for_users():
        index = open_index(
            collection,
            database,
            cache_dir=space.cache,
            backend=session.backend,
            config=config,
            seed=session.config.run.seed,
        )
        rank = ranking(index, config)
        edges: dict[Pair, Edge] = {}
        modes = [mode for mode in config.modes if mode in _KNOWN_WITHOUT_INDEX]
        if len(modes) < len(config.modes) and len(collection.photos) <= config.exhaustive_max_photos:
            modes.append("exhaustive")  # choosing by similarity saves nothing there
        if modes:
            edges = _chosen_without_looking(collection, replace(config, mode="+".join(modes)), new)
        count = ceil(_PARTNERS_PER_PAIR * config.wanted_pairs_per_photo)
        for name in sorted(new):
            for other, score in _partners(rank, name, registered, count, len(collection.photos)):
                edges.setdefault(Pair.of(name, other), Edge(score, Reason.KNN))
        graph = SceneGraph(collection.names, edges)
        publish_graph(graph, space.cache, space.events)
        counts.update(pairs=len(graph))
    return graph, rank


def _partners(
    rank: Rank, name: str, registered: Set[str], count: int, num_photos: int
) -> list[tuple[str, float]]:
    found = rank(name, num_photos)
    best_old = [hit for hit in found if hit[0] in registered][: ceil(count / 2)]
    return list(dict.fromkeys([*best_old, *found]))[:count]


def _chosen_without_looking(
    collection: Collection, config: RetrievalConfig, new: Set[str]
) -> dict[Pair, Edge]:
    graph = build_scene_graph(
        collection.names, config, positions_m=positions_m(collection), timestamps=timestamps(collection)
    )
    return {pair: edge for pair, edge in graph.edges.items() if not new.isdisjoint(pair)}
