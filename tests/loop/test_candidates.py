"""Which pairs may be matched next, how likely they are to verify, and what weakness they would remove."""

from collections.abc import Mapping, Set

from retrieval import Pair, Reason
from sfm.loop import Candidate, LoopState, PairPlan, Rank, plan_of
from sfm.loop.calibration import Similarities
from sfm.mapping import TwoView, ViewGraph

NAMES = tuple(f"{i}.jpg" for i in range(10))
FIRM, THIN = TwoView(200, "uncalibrated", 0.5), TwoView(20, "uncalibrated", 0.5)


def pair(i: int, j: int) -> Pair:
    return Pair.of(NAMES[i], NAMES[j])


def graph(*edges: tuple[int, int]) -> ViewGraph:
    return ViewGraph(NAMES, {pair(i, j): FIRM for i, j in edges})


def clique(*indices: int) -> list[tuple[int, int]]:
    return [(i, j) for i in indices for j in indices if i < j]


def model(*indices: int) -> Set[str]:
    return {NAMES[i] for i in indices}


def rank_by_number(name: str, k: int) -> list[tuple[str, float]]:
    """Photos are the more alike the closer their numbers."""
    i = NAMES.index(name)
    order = sorted((abs(i - j), j) for j in range(len(NAMES)) if j != i)
    return [(NAMES[j], 1 / distance) for distance, j in order[:k]]


def nothing_alike(name: str, k: int) -> list[tuple[str, float]]:
    return []


def plan(
    view_graph: ViewGraph,
    *models: Set[str],
    tried: tuple[Pair, ...] = (),
    rank: Rank = rank_by_number,
    is_registered: bool = True,
    overlaps: Mapping[Pair, float] | None = None,
    probability: Mapping[Pair, float] | None = None,
    again: Mapping[Pair, int] | None = None,
    matched_again: Mapping[Pair, bool] | None = None,
) -> PairPlan:
    return plan_of(
        LoopState(
            view_graph,
            models if is_registered else None,
            frozenset(view_graph.edges) | set(tried),
            rank,
            Similarities.measured(NAMES, rank),
            overlaps or {},
            probability or {},
            again or {},
            matched_again or {},
        )
    )


def of(found: PairPlan, reason: Reason, *, is_again: bool = False) -> dict[Pair, float]:
    return {c.pair: c.chance for c in found.candidates if c.reason is reason and c.is_again == is_again}


def likeliest(found: Mapping[Pair, float]) -> list[Pair]:
    return sorted(found, key=lambda one: (-found[one], one))


def test_an_unregistered_photo_has_the_most_similar_ones_as_likeliest_candidates() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (3, 4), (0, 3), (0, 4), *((0, i) for i in range(6, 10)))

    found = of(plan(view_graph, model(0, 1, 2, 3, 4, 6, 7, 8, 9)), Reason.UNREGISTERED)

    assert set(likeliest(found)[:2]) == {pair(4, 5), pair(5, 6)}
    assert set(found) == {pair(5, i) for i in range(10) if i != 5}


def test_partners_of_the_photo_that_an_unregistered_one_matched_are_candidates() -> None:
    found = plan(graph((0, 1), (1, 2), (0, 2), (1, 9)), model(0, 1, 2), rank=nothing_alike)

    assert set(of(found, Reason.UNREGISTERED)) == {pair(0, 9), pair(2, 9)}
    assert found.failed_links == (pair(1, 9),)


def test_pairs_tried_before_are_no_candidates() -> None:
    tried = tuple(pair(i, j) for i in range(9) for j in range(i + 1, 10) if (i, j) != (3, 4))

    found = plan(graph((0, 1), (1, 2), (0, 2)), model(*range(4)), tried=tried)

    assert {one.pair for one in found.candidates} == {pair(3, 4)}


def test_each_pair_is_a_candidate_once_with_a_chance() -> None:
    found = plan(graph((0, 1), (1, 2), (0, 2), (1, 9), (5, 6)), model(0, 1, 2))

    assert len({one.pair for one in found.candidates}) == len(found.candidates)
    assert all(0 < one.chance <= 1 for one in found.candidates)


def test_a_plan_does_not_depend_on_the_order_of_photos_within_models() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (5, 6), (6, 7), (5, 7))

    assert plan(view_graph, model(0, 1, 2), model(5, 6, 7)) == plan(
        view_graph, model(2, 0, 1), model(7, 5, 6)
    )


def test_pairs_between_two_models_are_bridges_the_more_similar_the_likelier() -> None:
    found = plan(graph(*clique(*range(5)), *clique(*range(5, 10))), model(*range(5)), model(*range(5, 10)))

    bridges = of(found, Reason.BRIDGE)
    assert {one.reason for one in found.candidates} == {Reason.BRIDGE}
    assert likeliest(bridges)[0] == pair(4, 5)
    assert all((NAMES.index(a) < 5) != (NAMES.index(b) < 5) for a, b in bridges)


def test_before_registration_parts_are_those_of_the_verified_pairs() -> None:
    joined = plan(graph(*clique(*range(5)), *clique(*range(5, 9)), (4, 5)), is_registered=False)
    apart = plan(graph(*clique(*range(5)), *clique(*range(5, 9))), is_registered=False)

    assert joined.parts == (model(*range(9)),)
    assert apart.parts == (model(*range(5)), model(*range(5, 9)))
    assert pair(4, 5) in joined.conductance
    assert of(apart, Reason.BRIDGE)
    assert set(of(apart, Reason.UNREGISTERED)) == {pair(9, i) for i in range(9)}


def test_photos_with_few_partners_and_open_loops_are_different_weaknesses() -> None:
    found = plan(graph(*clique(*range(9)), (8, 9)), is_registered=False)

    assert set(of(found, Reason.LOW_OVERLAP)) == {pair(9, i) for i in range(8)}
    chain = [(i, j) for i in range(10) for j in range(i + 1, 10) if j - i < 4]
    assert set(of(plan(graph(*chain), model(*range(10))), Reason.LOOP)) >= {pair(0, 4), pair(5, 9)}


def test_poses_make_a_pair_likely_that_nothing_else_promises() -> None:
    overlaps = {pair(0, 9): 0.3, pair(1, 9): 0.9, pair(2, 9): 0.1, pair(0, 1): 1.0}
    chain = [(i, i + 1) for i in range(9)]

    found = plan(graph(*chain), model(*range(10)), rank=nothing_alike, overlaps=overlaps)

    assert {one.pair: one.chance for one in found.candidates} == {
        pair(0, 9): 0.6,
        pair(1, 9): 0.99,
        pair(2, 9): 0.2,
    }


def test_pairs_that_are_likely_false_hold_less_and_lead_nowhere() -> None:
    view_graph = graph((0, 1), (1, 2), (2, 3))

    def found(probability: float) -> PairPlan:
        doubted = {pair(1, 2): probability}
        return plan(view_graph, rank=nothing_alike, is_registered=False, probability=doubted)

    assert found(1.0).conductance[pair(1, 2)] == 2.0
    assert found(0.5).conductance[pair(1, 2)] == 1.0
    assert pair(1, 2) not in found(0.0).conductance
    assert {one.pair for one in found(1.0).candidates} == {pair(0, 2), pair(1, 3)}
    assert found(0.0).candidates == ()


def test_where_verified_pairs_are_likely_false_others_are_less_likely() -> None:
    ring = graph(*((i, (i + 1) % 10) for i in range(10)), *clique(0, 3, 6))
    far = dict.fromkeys((pair(0, 3), pair(3, 6), pair(0, 6)), 0.05)

    before, after = (plan(ring, model(*range(10)), probability=known) for known in ({}, far))

    chances = {one.pair: one.chance for one in before.candidates}
    lowered = {one.pair: one.chance for one in after.candidates}
    assert all(lowered[one] < chances[one] for one in lowered)
    assert lowered[pair(0, 4)] < 0.5 < chances[pair(0, 4)]


def test_outcomes_correct_the_chances_of_a_photo() -> None:
    """The first photo matched none of those that look like it, the last all."""
    failed = tuple(pair(0, i) for i in range(1, 6))
    verified = [(9, i) for i in range(4, 9)]

    found = plan(graph(*verified), tried=failed, is_registered=False)

    chances = {one.pair: one.chance for one in found.candidates}
    assert chances.get(pair(0, 6), 0.0) < chances[pair(3, 9)]  # six numbers apart, both


def test_tried_pairs_go_to_a_stronger_matcher_where_an_image_is_in_no_model_or_models_are_apart() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (4, 5), (5, 6), (4, 6))
    failed = {pair(0, 3): 20, pair(1, 3): 40, pair(2, 4): 30, pair(0, 1): 90}

    found = plan(view_graph, model(0, 1, 2), model(4, 5, 6), tried=tuple(failed), again=failed)

    assert likeliest(of(found, Reason.UNREGISTERED, is_again=True)) == [pair(1, 3), pair(0, 3)]
    assert likeliest(of(found, Reason.BRIDGE, is_again=True)) == [pair(2, 4)]
    again = [one for one in found.candidates if one.is_again]
    assert len(again) == 3
    assert all(one.is_needed and one.most_conductance > 1 for one in again)


def test_partners_of_an_unregistered_photo_are_matched_again_once_its_own_pairs_are() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (0, 3), (1, 3))
    between, own = {pair(0, 1): 9, pair(0, 2): 9, pair(1, 2): 9}, {pair(2, 3): 5}

    def again(matches: dict[Pair, int]) -> set[Pair]:
        found = plan(view_graph, model(0, 1, 2), tried=(pair(2, 3),), again=matches)
        return {one.pair for one in found.candidates if one.is_again}

    assert again({**between, **own}) == set(own)
    assert again(between) == {pair(0, 1)}


def test_within_a_model_pairs_go_to_a_stronger_matcher_where_poses_say_that_they_overlap() -> None:
    view_graph = graph(*clique(0, 1, 2, 3, 4))
    overlaps = {pair(0, 4): 0.4, pair(2, 4): 0.9, pair(0, 1): 0.1}

    again = dict.fromkeys([*overlaps, pair(1, 2)], 9)
    found = plan(view_graph, model(*range(5)), again=again, overlaps=overlaps)

    assert of(found, Reason.LOOP, is_again=True) == {
        pair(0, 4): 0.8,
        pair(2, 4): 0.99,
        pair(0, 1): 0.2,
    }


def test_models_between_which_the_stronger_matcher_finds_nothing_are_given_up() -> None:
    view_graph = graph(*clique(0, 1, 2), *clique(5, 6, 7))
    left = {pair(2, 5): 30, pair(2, 6): 20}

    def likeliest_chance(num_failed: int) -> float:
        failed = dict.fromkeys([pair(i, j) for i in (0, 1) for j in (5, 6, 7)][:num_failed], False)
        tried = (*left, *failed)
        found = plan(
            view_graph, model(0, 1, 2), model(5, 6, 7), tried=tried, again=left, matched_again=failed
        )
        return max(of(found, Reason.BRIDGE, is_again=True).values())

    assert likeliest_chance(0) == 0.6
    assert likeliest_chance(2) < 0.35
    assert likeliest_chance(6) < 0.12


def test_plans_survive_the_way_to_disk() -> None:
    failed = {pair(0, 3): 20, pair(2, 4): 30}
    found = plan(graph((0, 1), (1, 2), (0, 2), (4, 5), (0, 9)), model(0, 1, 2), model(4, 5), again=failed)
    test = Candidate(pair(0, 8), 0.5, Reason.LOOP, 3.5)
    every = PairPlan((*found.candidates, test), found.conductance, found.parts, found.failed_links)

    assert PairPlan.from_json(every.to_json()) == every
