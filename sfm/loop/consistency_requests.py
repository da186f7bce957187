"""Requests that decide whether suspect pairs are look-alikes: pairs that would verify if they were true."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from retrieval import Pair, Reason, SceneGraph
from sfm.mapping import InconsistencyReport, InconsistentPair
from sfm.pairs.ranking import Rank

from .requests import Candidate, PairRequest

_FIRM = 30
"""Inliers of a suspect that registration may build on; it hardly cares for weaker ones."""
_SURE = 0.5
"""Score from which a suspect is asked about in a collection that is not ambiguous as a whole."""
_PHOTOS_PER_REQUEST = 4
"""Suspects come in crowds, of which a few decide."""
_WORTH = 0.3
"""Of a verified pair: less than what brings photos in, more than a closer tie."""
_DOUBTFUL = 2
"""Firm suspects; a single one may be a true pair with a wide baseline."""
_MIN_DEGREE = 6
"""Look-alikes of each photo that are matched where the graph is in doubt."""
_CHANCE = 0.35
"""That a pair verifies of which it isn't known whether both photos show the same place."""


def deciding_requests(report: InconsistencyReport | None, *, num_photos: int) -> list[PairRequest]:
    """Pairs that decide about suspects, surest and firmest suspects first; no two requests share a photo.

    Args:
        report: what the view graph says; None asks for nothing.
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
    """Each photo with the photos most like it, where a thin graph is in doubt.

    With few pairs a photo, as many may be wrong as right, and the wrong ones win: `dup_cereal` folds with 83
    pairs of 300, and not with 113.
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
    """Suspects of later rounds than this whose photos have not been asked about.

    Suspects come in crowds, and those that were there before the first registration are not worth another.

    Args:
        report: None stays None.
        graph: all pairs matched so far; suspects that it does not know count as of its first round, 0.
        later_than: number of a round; -1 for the suspects of all rounds.
    """
    if report is None:
        return None
    asked = {name for pair, edge in graph.edges.items() if edge.reason is Reason.VERIFY for name in pair}
    rounds = {pair: edge.round for pair, edge in graph.edges.items()}
    fresh = (
        s
        for s in report.inconsistent_pairs
        if asked.isdisjoint(s.pair) and rounds.get(s.pair, 0) > later_than
    )
    return replace(report, inconsistent_pairs=tuple(fresh))


def is_unreliable(report: InconsistencyReport | None) -> bool:
    """Whether a model made of the verified pairs probably rests on wrong ones, too."""
    if report is None:
        return False
    return sum(s.evidence.num_inliers >= _FIRM for s in report.inconsistent_pairs) >= _DOUBTFUL


def _matters(inconsistent: InconsistentPair, *, ambiguous: bool) -> bool:
    firm = inconsistent.evidence.num_inliers >= _FIRM
    return firm and bool(inconsistent.deciding) and (ambiguous or inconsistent.score >= _SURE)
