"""Which links are worth a pair hangs on how firmly the pairs hold, and on whether they can be believed."""

from itertools import combinations

import pytest

from retrieval import Pair
from sfm.loop import loop_closures as module
from sfm.loop import scheduler
from sfm.loop.loop_closures import LoopClosure, loop_closures
from sfm.mapping import TwoView, ViewGraph
from tests.loop.stand_in import model_of

NAMES = tuple(f"{i:02d}.jpg" for i in range(12))
EVERY = {Pair(*ends): 0.9 for ends in combinations(NAMES, 2)}


def chain(num_inliers: int, *steps: int) -> ViewGraph:
    pairs = (Pair(NAMES[i], NAMES[i + s]) for s in steps for i in range(len(NAMES) - s))
    return ViewGraph(NAMES, dict.fromkeys(pairs, TwoView(num_inliers, "uncalibrated", 0.5)))


def links(graph: ViewGraph, *, is_unreliable: bool = False) -> list[Pair]:
    tried = frozenset(graph.edges)
    return [
        link.pair for link in loop_closures([], graph, tried, EVERY, is_unreliable=is_unreliable, limit=50)
    ]


def test_the_ends_of_a_chain_are_joined_first() -> None:
    assert links(chain(200, 1))[0] == Pair(NAMES[0], NAMES[-1])


def test_where_pairs_may_be_wrong_links_are_asked_for_that_are_else_not_needed() -> None:
    firm = chain(200, 1, 2, 3)

    surely, doubtfully = links(firm), links(firm, is_unreliable=True)

    assert set(surely) < set(doubtfully)
    assert set(doubtfully).isdisjoint(firm.edges)


def test_weak_pairs_need_more_links_than_firm_ones() -> None:
    assert len(links(chain(30, 1, 2))) > len(links(chain(200, 1, 2)))


def test_links_within_a_scope_are_not_crowded_out_by_others() -> None:
    graph, new_images = chain(200, 1), {NAMES[5]}
    tried = frozenset(graph.edges)

    everywhere = loop_closures([], graph, tried, EVERY, is_unreliable=False, limit=1)
    within = loop_closures([], graph, tried, EVERY, is_unreliable=False, limit=1, new_images=new_images)

    assert new_images.isdisjoint(everywhere[0].pair)
    assert [new_images & set(link.pair) for link in within] == [new_images]


WEST = [f"w{i:02}.jpg" for i in range(12)]
EAST = [f"e{i:02}.jpg" for i in range(12)]
CHANCE_PAIRS = [Pair.of(WEST[i], EAST[-1 - i]) for i in range(12)]


def two_towns(*, chance_pairs: int = 0) -> ViewGraph:
    """Two firm groups of photos that three pairs join, and some look-alikes' pairs."""
    firm = {Pair.of(s[i], s[j]) for s in (WEST, EAST) for i, j in combinations(range(12), 2) if j - i < 6}
    firm |= {Pair.of(WEST[i], EAST[i]) for i in range(3)}
    edges = dict.fromkeys(sorted(firm), TwoView(100, "uncalibrated", 0.5))
    edges |= dict.fromkeys(CHANCE_PAIRS[:chance_pairs], TwoView(100, "uncalibrated", 0.5))
    return ViewGraph(tuple(sorted(WEST + EAST)), edges)


@pytest.fixture
def _faint_overlaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of which all photos show a little in common."""
    faint = {Pair.of(a, b): 0.1 for a, b in combinations(WEST + EAST, 2)}
    monkeypatch.setattr(module, "predicted_overlaps", lambda model: faint)


def far_links(graph: ViewGraph, deferred: frozenset[Pair] = frozenset()) -> list[LoopClosure]:
    tried = frozenset(graph.edges)
    return loop_closures([model_of(3)], graph, tried, {}, is_unreliable=False, limit=50, deferred=deferred)


@pytest.mark.usefixtures("_faint_overlaps")
def test_faint_overlaps_across_a_waist_are_asked_for_and_are_worth_it() -> None:
    found = far_links(two_towns())

    assert found
    assert all(link.pair.a[0] != link.pair.b[0] and link.is_unguided for link in found)
    assert all(link.chance * link.worth >= scheduler._MIN_GAIN for link in found)


@pytest.mark.usefixtures("_faint_overlaps")
def test_pairs_that_registration_holds_back_do_not_firm_up_a_waist() -> None:
    graph = two_towns(chance_pairs=12)

    assert far_links(graph) == []
    assert far_links(graph, frozenset(CHANCE_PAIRS))


def test_without_poses_nobody_asks_for_what_may_not_overlap() -> None:
    graph = two_towns()

    assert loop_closures([], graph, frozenset(graph.edges), {}, is_unreliable=True, limit=50) == []


@pytest.mark.parametrize(("num_photos", "min_gain"), [(24, 3.0), (149, 3.0), (150, 1.5)])
def test_large_collections_ask_for_pairs_that_do_less_for_all(
    monkeypatch: pytest.MonkeyPatch, num_photos: int, min_gain: float
) -> None:
    asked: list[float] = []

    def record(*_: object, limit: int, min_gain: float) -> list[tuple[Pair, float]]:
        asked.append(min_gain)
        return []

    monkeypatch.setattr("sfm.loop.loop_closures.a_optimal_links", record)
    names = tuple(f"{i:03d}.jpg" for i in range(num_photos))
    graph = ViewGraph(names, {Pair(*names[:2]): TwoView(200, "uncalibrated", 0.5)})

    loop_closures([], graph, frozenset(graph.edges), {}, is_unreliable=False, limit=10)

    assert asked == [min_gain]
