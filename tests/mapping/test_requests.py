from __future__ import annotations

from collections.abc import Mapping

from retrieval import Pair, Reason
from sfm.mapping import TwoView, ViewGraph, propose_requests
from sfm.mapping.requests import Rank

NAMES = tuple(f"{i}.jpg" for i in range(10))


def pair(i: int, j: int) -> Pair:
    return Pair.of(NAMES[i], NAMES[j])


def graph(*edges: tuple[int, int]) -> ViewGraph:
    return ViewGraph(NAMES, {pair(i, j): TwoView(200, "uncalibrated", 0.5) for i, j in edges})


def model(*indices: int) -> Mapping[str, int]:
    return {NAMES[i]: 500 for i in indices}


def rank_by_number(name: str, k: int) -> list[tuple[str, float]]:
    """Photos are the more alike the closer their numbers."""
    i = NAMES.index(name)
    order = sorted((abs(i - j), j) for j in range(len(NAMES)) if j != i)
    return [(NAMES[j], 1 / distance) for distance, j in order[:k]]


def nothing_alike(name: str, k: int) -> list[tuple[str, float]]:
    return []


def propose(
    view_graph: ViewGraph,
    *models: Mapping[str, int],
    tried: tuple[Pair, ...] = (),
    rank: Rank = rank_by_number,
    budget: int = 100,
) -> list[tuple[Pair, Reason]]:
    seen = set(view_graph.edges) | set(tried)
    return [
        (r.pair, r.reason) for r in propose_requests(view_graph, models, seen, rank, budget=budget, round=1)
    ]


def test_an_orphan_asks_for_its_best_registered_look_alikes_first() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (3, 4), (0, 3), (0, 4), *((0, i) for i in range(6, 10)))

    asked = propose(view_graph, model(0, 1, 2, 3, 4, 6, 7, 8, 9))

    orphan = [p for p, reason in asked if reason is Reason.ORPHAN]
    assert orphan[:2] == [pair(4, 5), pair(5, 6)]
    assert all(NAMES[5] in p for p in orphan)


def test_an_orphan_asks_for_the_neighbours_of_the_photo_that_it_matched() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (1, 9))

    asked = propose(view_graph, model(0, 1, 2), rank=nothing_alike)

    assert asked == [(pair(0, 9), Reason.ORPHAN), (pair(2, 9), Reason.ORPHAN)]


def test_pairs_tried_before_are_never_asked_again() -> None:
    tried = tuple(pair(i, j) for i in range(9) for j in range(i + 1, 10) if (i, j) != (3, 7))

    asked = propose(graph((0, 1), (1, 2), (0, 2)), model(*range(7)), tried=tried)

    assert asked == [(pair(3, 7), Reason.ORPHAN)]


def test_no_pair_is_asked_twice_and_the_budget_holds() -> None:
    asked = propose(graph((0, 1), (1, 2), (0, 2), (1, 9), (5, 6)), model(0, 1, 2), budget=7)

    assert len(asked) == 7
    assert len({p for p, _ in asked}) == 7


def test_requests_do_not_depend_on_the_order_of_photos_within_models() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (5, 6), (6, 7), (5, 7))

    assert propose(view_graph, model(0, 1, 2), model(5, 6, 7)) == propose(
        view_graph, model(2, 0, 1), model(7, 5, 6)
    )


def test_two_healthy_models_ask_for_a_few_bridges_only() -> None:
    first = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    second = [(i, j) for i in range(5, 10) for j in range(i + 1, 10)]

    asked = propose(graph(*first, *second), model(*range(5)), model(*range(5, 10)), budget=1000)

    assert 0 < len(asked) <= 6
    assert {reason for _, reason in asked} == {Reason.BRIDGE}
    assert asked[0][0] == pair(4, 5)
    assert all((NAMES.index(p.a) < 5) != (NAMES.index(p.b) < 5) for p, _ in asked)


def test_one_edge_between_two_parts_is_asked_to_be_doubled() -> None:
    first = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    second = [(i, j) for i in range(5, 10) for j in range(i + 1, 10)]

    asked = propose(graph(*first, *second, (2, 7)), model(*range(10)), rank=nothing_alike)

    assert {reason for _, reason in asked} == {Reason.BRIDGE}
    assert all({2, 7} & {NAMES.index(p.a), NAMES.index(p.b)} for p, _ in asked)


def test_a_complete_model_without_weak_spots_asks_for_nothing() -> None:
    everything = [(i, j) for i in range(10) for j in range(i + 1, 10) if j - i < 4]

    assert propose(graph(*everything), model(*range(10))) == []


def test_without_any_model_photos_ask_for_look_alikes_among_all() -> None:
    asked = propose(graph(), budget=9)

    assert {p for p, _ in asked} == {pair(i, i + 1) for i in range(9)}


def test_no_budget_no_requests() -> None:
    assert propose(graph((0, 1)), budget=0) == []
