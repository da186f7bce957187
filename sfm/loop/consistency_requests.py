"""Requests that decide about inconsistent pairs: pairs that would verify if those were correct."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from retrieval import Pair, Reason, SceneGraph
from sfm.mapping import InconsistencyReport, InconsistentPair
from sfm.pairs.ranking import Rank

from .requests import Candidate, PairRequest

_FIRM = 30
"""Inliers of an inconsistent pair that can affect registration."""
_SURE = 0.5
"""Score of an inconsistent pair worth a request, in a collection that is not ambiguous as a whole."""
_PHOTOS_PER_REQUEST = 4
"""Images of the collection for each request, since inconsistent pairs come in groups."""
_WORTH = 0.3
"""Of a verified pair: between that of a registered image and that of higher accuracy."""
_DOUBTFUL = 2
"""Firm inconsistent pairs; a single one may be a correct pair with a wide baseline."""
_MIN_DEGREE = 6
"""Most similar images that each image is matched with where the graph is unreliable."""
_CHANCE = 0.35
"""That a pair verifies whose two images may show different places."""


def deciding_requests(report: InconsistencyReport | None, *, num_photos: int) -> list[PairRequest]:
    """Pairs that decide about inconsistent pairs, in order of score; no two requests share an image.

    Args:
        report: of the view graph; None yields no request.
        num_photos: of the collection, which bounds the number of requests.
    """
    if report is None:
        return []
    requests: list[PairRequest] = []
    asked: set[str] = set()
    for inconsistent in report.inconsistent_pairs:
        if len(requests) * _PHOTOS_PER_REQUEST >= num_photos:
            break
        if _matters(inconsistent, ambiguous=report.ambiguous) and asked.isdisjoint(inconsistent.pair):
            asked.update(inconsistent.pair)
            candidates = tuple(Candidate(pair, _CHANCE) for pair in inconsistent.deciding)
            requests.append(PairRequest(Reason.VERIFY, tuple(inconsistent.pair), candidates, 1, _WORTH))
    return requests


def widening_requests(names: Sequence[str], rank: Rank, tried: Set[Pair]) -> list[PairRequest]:
    """Each image with the images most similar to it, where a sparse graph is unreliable.

    With few pairs for each image, wrong pairs can be as many as correct ones.
    """
    requests = []
    for name in names:
        pairs = [Pair.of(name, other) for other, _ in rank(name, _MIN_DEGREE)]
        if missing := tuple(Candidate(pair, _CHANCE) for pair in pairs if pair not in tried):
            requests.append(PairRequest(Reason.VERIFY, (name,), missing, len(missing), _WORTH))
    return requests


def unasked(
    report: InconsistencyReport | None, graph: SceneGraph, later_than: int
) -> InconsistencyReport | None:
    """The inconsistent pairs of later rounds whose images no request was about.

    Args:
        report: None stays None.
        graph: all pairs matched so far; inconsistent pairs that are not in it count as of round 0.
        later_than: number of a round; -1 for the pairs of all rounds.
    """
    if report is None:
        return None
    asked = {name for pair, edge in graph.edges.items() if edge.reason is Reason.VERIFY for name in pair}
    rounds = {pair: edge.round for pair, edge in graph.edges.items()}
    left = (
        s
        for s in report.inconsistent_pairs
        if asked.isdisjoint(s.pair) and rounds.get(s.pair, 0) > later_than
    )
    return replace(report, inconsistent_pairs=tuple(left))


def is_unreliable(report: InconsistencyReport | None) -> bool:
    """Whether a model of the verified pairs probably uses wrong ones, too."""
    if report is None:
        return False
    return sum(s.evidence.num_inliers >= _FIRM for s in report.inconsistent_pairs) >= _DOUBTFUL


def _matters(inconsistent: InconsistentPair, *, ambiguous: bool) -> bool:
    firm = inconsistent.evidence.num_inliers >= _FIRM
    return firm and bool(inconsistent.deciding) and (ambiguous or inconsistent.score >= _SURE)
