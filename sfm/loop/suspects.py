"""Requests that decide whether suspect pairs are look-alikes: pairs that would verify if they were true."""

from __future__ import annotations

from collections.abc import Callable, Set

from retrieval import Pair, Reason
from sfm.mapping import Suspect, SuspectReport

from .requests import Candidate, PairRequest

ReadSuspects = Callable[[Set[Pair]], SuspectReport | None]
"""Given all pairs matched so far, the suspects among those that verified; None where nobody looked."""

_FIRM = 30
"""Inliers of a suspect that registration may build on; it hardly cares for weaker ones."""
_SURE = 0.5
"""Score from which a suspect is asked about in a collection that is not ambiguous as a whole."""
_PHOTOS_PER_REQUEST = 4
"""Suspects come in crowds, of which a few decide."""
_WORTH = 0.3
"""Of a verified pair: less than what brings photos in, more than a closer tie."""
_CHANCE = 0.35
"""That a pair verifies of which it isn't known whether both photos show the same place."""


def deciding_requests(report: SuspectReport | None, *, num_photos: int) -> list[PairRequest]:
    """Pairs that decide about suspects, surest and firmest suspects first; no two requests share a photo.

    Args:
        report: what the view graph says; None asks for nothing.
        num_photos: of the collection, which bounds the number of requests.
    """
    if report is None:
        return []
    requests: list[PairRequest] = []
    asked: set[str] = set()
    for suspect in report.suspects:
        if len(requests) * _PHOTOS_PER_REQUEST >= num_photos:
            break
        if _matters(suspect, ambiguous=report.ambiguous) and asked.isdisjoint(suspect.pair):
            asked.update(suspect.pair)
            candidates = tuple(Candidate(pair, _CHANCE) for pair in suspect.deciding)
            requests.append(PairRequest(Reason.SUSPECT, tuple(suspect.pair), candidates, 1, _WORTH))
    return requests


def _matters(suspect: Suspect, *, ambiguous: bool) -> bool:
    firm = suspect.evidence.num_inliers >= _FIRM
    return firm and bool(suspect.deciding) and (ambiguous or suspect.score >= _SURE)
