"""Requests that decide about doubtful links: pairs that would verify if these were true."""

from __future__ import annotations

import math

from retrieval import Reason, SceneGraph
from sfm.mapping import InconsistencyReport

from .pair_plan import Candidate

_WORTH = 1.5
"""Nats of a bit: between those of a registered image and those of higher accuracy."""
_CHANCE = 0.35
"""That a pair verifies whose two images may show different places."""
_MAX_SHARE = 0.03
"""Of all pairs, those that decide about links in doubt, at most."""


def deciding_requests(report: InconsistencyReport | None, graph: SceneGraph) -> list[Candidate]:
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
    requests: list[Candidate] = []
    for link in report.doubtful_links:
        if left <= 0:
            break
        if images.isdisjoint(link.pair):
            images.update(link.pair)
            candidates = [
                Candidate(
                    pair, _CHANCE, Reason.VERIFY, _WORTH * link.information, question="/".join(link.pair)
                )
                for pair in link.deciding[:left]
            ]
            requests += candidates
            left -= len(candidates)
    return requests
