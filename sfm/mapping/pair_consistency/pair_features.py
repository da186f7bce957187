"""Features of verified pairs by which true pairs differ from those that visual aliasing made.

Most are relative: a value of the pair minus that of its images' strongest other pairs. Absolute values depend
on texture, overlap and image size, and do not transfer from one kind of collection to another.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import networkx as nx
import numpy as np
from scipy.sparse.csgraph import dijkstra

from retrieval import Pair

from ..scene.pair_matches import PairMatches
from .missing_correspondences import context_agreement
from .pair_rotations import Rotation, rotation_errors
from .track_forest import TrackForest
from .trees import maximum_spanning_forest

Values = Mapping[Pair, float]

_NUM_STRONGEST = 3
_NUM_KNOWN = 5  # matches that join tracks
_SUPPORTED = 0.8  # of these within tracks: the pair's matches extend the tracks
_NUM_PASSES = 3
_LEAST_ERROR_DEG, _USUAL_ERROR_DEG = 0.5, 2.0
_HALF_LIFE = 3.0
"""Path length, in pairs, along which half of the tracks break."""
_MAX_PATH = 10 * _HALF_LIFE
_ROWS = 256  # images from which paths are searched at once: from 10,000 they would take 800 MB


def local_features(matches: PairMatches, background: Mapping[Pair, float | None]) -> dict[str, Values]:
    """Features by name, each of all pairs of `matches`.

    Args:
        matches: of all verified pairs.
        background: of each pair from `Background`; None or missing where nothing was measured.
    """
    inliers = {pair: len(rows) for pair, rows in matches.inliers.items()}
    of_image = pairs_by_image(inliers)
    context = context_agreement(matches)
    ratio = {
        pair: math.log(count / max(matches.num_matches.get(pair, count), count))
        for pair, count in inliers.items()
    }
    measured = {pair: value for pair in inliers if (value := background.get(pair)) is not None}
    num_matched = {name: np.count_nonzero(n) for name, n in matches.num_pairs_of_keypoints.items()}
    strength = {
        pair: context[pair] * count / max(num_matched[pair.a], num_matched[pair.b])
        for pair, count in inliers.items()
    }
    return {
        "rank": _rank(of_image),
        "relative_inlier_ratio": _relative(ratio, of_image),
        "common_neighbours": _common_neighbours(strength),
        "capture_order": capture_order(matches.keypoints, of_image),
        "has_background": {pair: float(pair in measured) for pair in inliers},
        "background": {pair: measured.get(pair, 0.0) for pair in inliers},
    }


def track_features(
    matches: PairMatches,
    rotations: Mapping[Pair, Rotation],
    log_odds: Values,
    has_background: Values,
) -> dict[str, Values]:
    """Features of each pair against the tracks and rotations of the pairs that are likelier true.

    Tracks begin with the maximum spanning forest of the log-odds. Other pairs extend them in the order of
    their support by the tracks so far (Yan et al. 2017, "Distinguishing the Indistinguishable").

    Both features count by the shortest path of trusted pairs between the images of a pair. Along a path
    tracks break, and rotations add up their errors, so that a loop which closes after many images contradicts
    neither. A false pair between places far apart would look the same but for its background. Where that was
    not compared, every path counts as one pair.
    """
    forest = maximum_spanning_forest(log_odds)
    tracks = TrackForest({name: len(xy) for name, xy in matches.keypoints.items()})
    trusted = set(forest)
    for pair in sorted(trusted, key=lambda pair: (-log_odds[pair], pair)):
        tracks.join(pair, matches.inliers[pair])
    for _ in range(_NUM_PASSES):
        before = len(trusted)
        support = {pair: _support(tracks, matches, pair) for pair in log_odds if pair not in trusted}
        for pair in sorted(support, key=lambda pair: (-support[pair], pair)):
            within, known = tracks.counts(pair, matches.inliers[pair])
            if known >= _NUM_KNOWN and within >= _SUPPORTED * known:
                tracks.join(pair, matches.inliers[pair])
                trusted.add(pair)
        if len(trusted) == before:
            break
    graph: nx.Graph[str] = nx.Graph([(pair.a, pair.b) for pair in sorted(trusted)])
    errors = rotation_errors(rotations, graph, log_odds)
    others = log_odds.keys() - set(forest)
    compared = [pair for pair in others if has_background[pair]]
    paths = dict.fromkeys(others, 1.0) | _path_lengths(graph, compared)
    agreement = {pair: _rotation_agreement(errors[pair], paths[pair]) for pair in others & errors.keys()}
    support = {pair: _support(tracks, matches, pair, paths[pair]) for pair in others}
    return {
        "track_support": {pair: support.get(pair, 0.0) for pair in log_odds},
        "rotation_agreement": {pair: agreement.get(pair, 0.0) for pair in log_odds},
    }


def capture_order(names: Iterable[str], of_image: Mapping[str, Sequence[Pair]]) -> dict[Pair, float]:
    """Log-likelihood ratio of each pair being strong, by the distance of its images in the order of names.

    It is learned from the two strongest pairs of each image, in octaves of the distance. Where names are
    shuffled it is about 0.
    """
    position = {name: index for index, name in enumerate(sorted(names, key=_natural))}
    count = len(position)
    octaves = {
        pair: int(math.log2(abs(position[pair.a] - position[pair.b])))
        for pairs in of_image.values()
        for pair in pairs
    }
    strong = Counter(octaves[pair] for pair in {pair for pairs in of_image.values() for pair in pairs[:2]})
    possible: Counter[int] = Counter()
    for distance in range(1, count):
        possible[int(math.log2(distance))] += count - distance
    share = sum(strong.values()) / max(sum(possible.values()), 1)
    ratio = {o: math.log((strong[o] + 1) / (possible[o] * share + 1)) for o in set(octaves.values())}
    return {pair: ratio[octave] for pair, octave in octaves.items()}


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Key that sorts numbers in a name by value."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name)]


def pairs_by_image(inliers: Mapping[Pair, int]) -> dict[str, list[Pair]]:
    """The pairs of each image, most inliers first."""
    found: dict[str, list[Pair]] = {}
    for pair in sorted(inliers, key=lambda pair: (-inliers[pair], pair)):
        for name in pair:
            found.setdefault(name, []).append(pair)
    return found


def strongest_pairs(inliers: Mapping[Pair, int]) -> frozenset[Pair]:
    """The three pairs of each image that have most inliers."""
    of_image = pairs_by_image(inliers)
    return frozenset(pair for pairs in of_image.values() for pair in pairs[:_NUM_STRONGEST])


def _relative(values: Values, of_image: Mapping[str, Sequence[Pair]]) -> dict[Pair, float]:
    """Of each pair the value minus the mean of an image's strongest others, the smaller of both images."""

    def difference(pair: Pair, name: str) -> float:
        others = [other for other in of_image[name][: _NUM_STRONGEST + 1] if other != pair][:_NUM_STRONGEST]
        return values[pair] - sum(values[other] for other in others) / len(others) if others else 0.0

    return {pair: min(difference(pair, name) for name in pair) for pair in values}


def _rank(of_image: Mapping[str, Sequence[Pair]]) -> dict[Pair, float]:
    """-log(1 + rank) of each pair among the pairs of an image, the smaller of both images."""
    found: dict[Pair, float] = {}
    for pairs in of_image.values():
        for rank, pair in enumerate(pairs):
            found[pair] = min(found.get(pair, 0.0), -math.log1p(rank))
    return found


def _common_neighbours(strength: Values) -> dict[Pair, float]:
    """Log of the strength of the paths over one other image, relative to that of the pair itself."""
    adjacent: dict[str, dict[str, float]] = {}
    for (a, b), value in strength.items():
        adjacent.setdefault(a, {})[b] = value
        adjacent.setdefault(b, {})[a] = value

    def over_one(a: str, b: str) -> float:
        first, second = adjacent[a], adjacent[b]
        return sum(min(first[name], second[name]) for name in first.keys() & second.keys())

    return {pair: math.log((over_one(*pair) + 1e-2) / (value + 1e-2)) for pair, value in strength.items()}


def _support(tracks: TrackForest, matches: PairMatches, pair: Pair, path: float = 1.0) -> float:
    """Log-odds of a match of the pair to lie within one track; near 0 where few matches join tracks.

    A match between two tracks counts by the share of tracks that do not break along the path.
    """
    within, known = tracks.counts(pair, matches.inliers[pair])
    unbroken = 0.5 ** ((path - 1) / _HALF_LIFE)
    return math.log((within + 0.5) / (unbroken * (known - within) + 0.5))


def _rotation_agreement(error_deg: float, path: float) -> float:
    """-log of an error relative to the usual one over a path of this length."""
    return -math.log(max(error_deg, _LEAST_ERROR_DEG) / (_USUAL_ERROR_DEG * math.sqrt(path)))


def _path_lengths(graph: nx.Graph[str], pairs: Collection[Pair]) -> dict[Pair, float]:
    """Number of edges of the shortest path between the images of each pair, at most `_MAX_PATH`."""
    number = {name: i for i, name in enumerate(graph)}
    edges = nx.to_scipy_sparse_array(graph)
    asked = np.array([(number[pair.a], number[pair.b]) for pair in pairs], np.int64).reshape(-1, 2)
    sources, row = np.unique(asked[:, 0], return_inverse=True)
    length = np.empty(len(asked))
    for first in range(0, len(sources), _ROWS):
        steps = dijkstra(edges, unweighted=True, indices=sources[first : first + _ROWS], limit=_MAX_PATH)
        own = (row >= first) & (row < first + _ROWS)
        length[own] = steps[row[own] - first, asked[own, 1]]
    return dict(zip(pairs, np.minimum(length, _MAX_PATH).tolist(), strict=True))
