"""Requests that decide about doubtful links: pairs that would verify if these were true."""

from __future__ import annotations

import math

from retrieval import Reason, SceneGraph
from sfm.mapping import InconsistencyReport

from .requests import Candidate, PairRequest

_WORTH = 0.3
"""Of a bit: between that of a registered image and that of higher accuracy."""
_CHANCE = 0.35
"""That a pair verifies whose two images may show different places."""
_MAX_SHARE = 0.03
"""Of all pairs, those that decide about links in doubt, at most."""


def deciding_requests(report: InconsistencyReport | None, graph: SceneGraph) -> list[PairRequest]:
    """Pairs that decide about links in doubt, most information first; no two requests share an image.

    Args:
        report: of the view graph; None yields no request.
        graph: all pairs matched so far.
    """
    if report is None:
        return []
    asked = [pair for pair, edge in graph.edges.items() if edge.reason is Reason.VERIFY]
    images = {name for pair in asked for name in pair}
    left = math.ceil(_MAX_SHARE * len(graph.edges)) - len(asked)
    requests: list[PairRequest] = []
    for link in report.doubtful_links:
        if left <= 0:
            break
        if images.isdisjoint(link.pair):
            images.update(link.pair)
            candidates = tuple(Candidate(pair, _CHANCE) for pair in link.deciding[:left])
            requests.append(
                PairRequest(Reason.VERIFY, tuple(link.pair), candidates, 1, _WORTH * link.information)
            )
            left -= len(candidates)
    return requests


def is_unreliable(report: InconsistencyReport | None) -> bool:
    """Whether a model of the verified pairs may rest on a wrong one."""
    return report is not None and bool(report.doubtful_links)
