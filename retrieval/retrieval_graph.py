"""The first scene graph from retrieval: few pairs, spread over all photos, in one piece where possible.

Each step answers a failure that plain k-nearest neighbours show. In order of preference within the budget:

1. A spanning forest of highest similarity, so that cutting at the budget never cuts the graph. Neighbours
   form cliques of near-duplicates, so each piece is joined to its most similar outside photo (Boruvka's
   algorithm) until one piece is left.
2. Pairs known from elsewhere: capture order, positions.
3. Mutual neighbours, re-ranked by query expansion. A pair in which each photo is among the other's k best is
   right far more often than a one-sided one. They are taken rank by rank. Scores of photos with much texture
   are higher throughout, and a list sorted by score would spend the budget on them.
4. Anchors: a few photos far from each other in similarity (farthest-point sampling, as in MASt3R-SfM). They
   are joined with each other, and every photo with its nearest anchor: long-range links that cliques lack.
5. One-sided neighbours, again rank by rank, for what is left.

Everything is deterministic; ties are settled by the order of the photos.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from .config import RetrievalConfig
from .hits import ImageIndex, Neighbours
from .query_expansion import neighbours_expanded
from .scene_graph import Edge, Edges, Pair, Reason

_CANDIDATES_PER_WANTED = 2.0
"""Neighbours looked up for each pair that the budget allows a photo."""
_ANCHOR_SHARE = 5
"""At most one photo in this many is an anchor."""

Link = tuple[int, int]
"""Positions of two photos in the index, the smaller first."""


def retrieval_edges(
    index: ImageIndex, config: RetrievalConfig, priors: Mapping[Pair, Edge] | None = None
) -> Edges:
    """About `config.pairs_per_photo` pairs a photo, each with its reason and similarity.

    The graph is connected wherever retrieval gives a score above 0, as far as the budget lasts. Photos
    without descriptors get no pairs but those of `priors`, pairs known from elsewhere.
    """
    names = index.names
    budget = int(np.ceil(config.wanted_pairs_per_photo * len(names)))
    if len(names) < 2:
        return {}
    wanted = int(np.ceil(_CANDIDATES_PER_WANTED * config.wanted_pairs_per_photo))
    neighbours = (
        neighbours_expanded(index, wanted) if config.query_expansion else index.all_neighbours(wanted)
    )
    mutual, one_sided = ranked_links(neighbours)
    anchored = _anchor_links(index, mutual, config.num_anchors)
    given = _prior_links(names, priors or {})
    score_of = _scored(index, dict.fromkeys([*given, *mutual, *anchored, *one_sided]))
    # query expansion also finds images that share no word with the one that asks
    candidates = [link for link, score in score_of.items() if score > 0 or link in given]
    connecting = _connecting_links(index, candidates)
    score_of.update(_scored(index, connecting))
    candidates += connecting
    spanning = _spanning_links(len(names), candidates, np.array([score_of[link] for link in candidates]))
    chosen = list(dict.fromkeys([*spanning, *candidates]))[:budget]
    reasons = {
        **dict.fromkeys(anchored, Reason.ANCHOR),
        **dict.fromkeys([*mutual, *one_sided], Reason.KNN),
        **dict.fromkeys(connecting, Reason.CONNECT),
        **given,
    }
    return {_pair(names, link): Edge(score_of[link], reasons[link]) for link in chosen}


def ranked_links(neighbours: Neighbours) -> tuple[list[Link], list[Link]]:
    """Mutual and one-sided neighbours without repeats, by rank (mutual: the worse of both), then score."""
    count, depth = neighbours.ids.shape
    asking, rank = np.divmod(np.arange(count * depth), depth)
    asked, score = neighbours.ids.ravel().astype(np.int64), neighbours.scores.ravel()
    found = asked >= 0
    asking, asked, rank, score = asking[found], asked[found], rank[found], score[found]
    keys = np.minimum(asking, asked) * count + np.maximum(asking, asked)
    unique, where, times = np.unique(keys, return_inverse=True, return_counts=True)
    worst, best_score = np.zeros(len(unique), np.int64), np.zeros(len(unique))
    np.maximum.at(worst, where, rank)
    np.maximum.at(best_score, where, score)
    order = np.lexsort((unique, -best_score, worst))
    links = [(int(key) // count, int(key) % count) for key in unique[order]]
    is_mutual = (times[order] == 2).tolist()
    mutual = [link for link, both in zip(links, is_mutual, strict=True) if both]
    return mutual, [link for link, both in zip(links, is_mutual, strict=True) if not both]


def _scored(index: ImageIndex, links: Iterable[Link]) -> dict[Link, float]:
    wanted = list(links)
    scores = index.similarities([_pair(index.names, link) for link in wanted]).tolist()
    return dict(zip(wanted, scores, strict=True))


def _anchor_links(index: ImageIndex, mutual: list[Link], limit: int) -> list[Link]:
    """All pairs of anchors, then every photo with its nearest anchor, where the score is above 0.

    Farthest-point sampling starts at the photo with most mutual neighbours. Anchors have a mutual neighbour:
    else blurred and foreign photos, far from all others, would take every place.
    """
    count = len(index.names)
    degree = np.bincount(np.array(mutual, np.int64).ravel(), minlength=count)
    limit = min(limit, count // _ANCHOR_SHARE, int((degree > 0).sum()))
    if limit < 2:
        return []
    anchors = [int(np.argmax(degree))]
    rows = [_scores_from(index, anchors[0])]
    while len(anchors) < limit:
        closeness = np.where(degree > 0, np.max(rows, axis=0), np.inf)
        closeness[anchors] = np.inf
        anchors.append(int(np.argmin(closeness)))
        rows.append(_scores_from(index, anchors[-1]))
    table = np.stack(rows)
    joined = [
        _link(anchors[i], anchors[j]) for i, j in combinations(range(limit), 2) if table[i, anchors[j]] > 0
    ]
    nearest = np.argmax(table, axis=0)
    attached = [
        _link(photo, anchors[nearest[photo]])
        for photo in range(count)
        if photo not in anchors and table[nearest[photo], photo] > 0
    ]
    return list(dict.fromkeys(joined + attached))


def _scores_from(index: ImageIndex, position: int) -> NDArray[np.float64]:
    positions = {name: i for i, name in enumerate(index.names)}
    row = np.zeros(len(positions))
    for hit in index.query(index.names[position], len(positions)):
        row[positions[hit.name]] = hit.score
    return row


def _prior_links(names: tuple[str, ...], priors: Mapping[Pair, Edge]) -> dict[Link, Reason]:
    positions = {name: i for i, name in enumerate(names)}
    return {
        _link(positions[pair.a], positions[pair.b]): edge.reason
        for pair, edge in priors.items()
        if pair.a in positions and pair.b in positions
    }


def _connecting_links(index: ImageIndex, links: Iterable[Link]) -> list[Link]:
    """Best links between the pieces that `links` leave, until no piece finds anything outside itself."""
    count = len(index.names)
    positions = {name: i for i, name in enumerate(index.names)}
    present, added = list(links), list[Link]()
    while True:
        labels = _labels(count, present + added)
        sizes = Counter(labels.tolist())
        largest = max(sizes, key=lambda label: (sizes[label], -label))
        best: dict[int, tuple[float, Link]] = {}
        for photo in np.flatnonzero(labels != largest).tolist():
            piece = int(labels[photo])
            # of the best hits, as many as the piece has photos, one lies outside it
            for hit in index.query(index.names[photo], sizes[piece]):
                other = positions[hit.name]
                if labels[other] != piece:
                    if piece not in best or hit.score > best[piece][0]:
                        best[piece] = (hit.score, _link(photo, other))
                    break
        if not best:
            return added
        added += sorted({link for _, link in best.values()})


def _labels(count: int, links: list[Link]) -> NDArray[np.int32]:
    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int32)


def _spanning_links(count: int, links: list[Link], scores: NDArray[np.float64]) -> list[Link]:
    """The spanning forest of highest similarity, best link first."""
    ends = np.array(links, np.int64).reshape(-1, 2)
    cost = 2.0 - scores  # scipy takes a cost of 0 for no edge
    tree = minimum_spanning_tree(coo_array((cost, (ends[:, 0], ends[:, 1])), shape=(count, count))).tocoo()
    found = zip(tree.data.tolist(), tree.row.tolist(), tree.col.tolist(), strict=True)
    return [_link(a, b) for _, a, b in sorted(found)]


def _link(first: int, second: int) -> Link:
    return (first, second) if first < second else (second, first)


def _pair(names: tuple[str, ...], link: Link) -> Pair:
    return Pair.of(names[link[0]], names[link[1]])
