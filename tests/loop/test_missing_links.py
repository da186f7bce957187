"""Which links are worth a pair hangs on how firmly the pairs hold, and on whether they can be believed."""

from __future__ import annotations

from itertools import combinations

from retrieval import Pair
from sfm.loop.missing_links import missing_links
from sfm.mapping import TwoView, ViewGraph

NAMES = tuple(f"{i:02d}.jpg" for i in range(12))
EVERY = {Pair(*ends): 0.9 for ends in combinations(NAMES, 2)}


def chain(num_inliers: int, *steps: int) -> ViewGraph:
    pairs = (Pair(NAMES[i], NAMES[i + s]) for s in steps for i in range(len(NAMES) - s))
    return ViewGraph(NAMES, dict.fromkeys(pairs, TwoView(num_inliers, "uncalibrated", 0.5)))


def links(graph: ViewGraph, *, in_doubt: bool = False) -> list[Pair]:
    tried = frozenset(graph.edges)
    return [link.pair for link in missing_links([], graph, tried, EVERY, in_doubt=in_doubt, limit=50)]


def test_the_ends_of_a_chain_are_joined_first() -> None:
    assert links(chain(200, 1))[0] == Pair(NAMES[0], NAMES[-1])


def test_where_pairs_may_be_wrong_links_are_asked_for_that_are_else_not_needed() -> None:
    firm = chain(200, 1, 2, 3)

    surely, doubtfully = links(firm), links(firm, in_doubt=True)

    assert set(surely) < set(doubtfully)
    assert set(doubtfully).isdisjoint(firm.edges)


def test_weak_pairs_need_more_links_than_firm_ones() -> None:
    assert len(links(chain(30, 1, 2))) > len(links(chain(200, 1, 2)))


def test_links_within_a_scope_are_not_crowded_out_by_others() -> None:
    graph, scope = chain(200, 1), {NAMES[5]}
    tried = frozenset(graph.edges)

    everywhere = missing_links([], graph, tried, EVERY, in_doubt=False, limit=1)
    within = missing_links([], graph, tried, EVERY, in_doubt=False, limit=1, scope=scope)

    assert scope.isdisjoint(everywhere[0].pair)
    assert [scope & set(link.pair) for link in within] == [scope]
