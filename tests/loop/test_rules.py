from collections.abc import Mapping

from retrieval import Pair, Reason
from sfm.loop import LoopState, PairRequest, Rank, propose_requests
from sfm.loop.loop_closures import LoopClosure
from sfm.mapping import TwoView, ViewGraph

NAMES = tuple(f"{i}.jpg" for i in range(10))


def pair(i: int, j: int) -> Pair:
    return Pair.of(NAMES[i], NAMES[j])


def graph(*edges: tuple[int, int]) -> ViewGraph:
    return ViewGraph(NAMES, {pair(i, j): TwoView(200, "uncalibrated", 0.5) for i, j in edges})


def clique(*indices: int) -> list[tuple[int, int]]:
    return [(i, j) for i in indices for j in indices if i < j]


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
    after_registration: bool = True,
    links: tuple[LoopClosure, ...] = (),
    again: Mapping[Pair, int] | None = None,
    overlapping: Mapping[Pair, float] | None = None,
) -> list[PairRequest]:
    seen = frozenset(view_graph.edges) | set(tried)
    return propose_requests(
        LoopState(
            view_graph,
            models,
            seen,
            rank,
            1,
            after_registration,
            lambda score: score / 2,
            links,
            again or {},
            overlapping or {},
        )
    )


def asked(requests: list[PairRequest], reason: Reason, name: str) -> list[Pair]:
    return [c.pair for r in requests if r.reason is reason and name in r.subject for c in r.candidates]


def test_an_orphan_asks_for_its_best_registered_look_alikes_first() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (3, 4), (0, 3), (0, 4), *((0, i) for i in range(6, 10)))

    requests = propose(view_graph, model(0, 1, 2, 3, 4, 6, 7, 8, 9))

    found = asked(requests, Reason.UNREGISTERED, NAMES[5])
    assert found[:2] == [pair(4, 5), pair(5, 6)]
    assert all(NAMES[5] in p for p in found)


def test_an_orphan_asks_for_the_neighbours_of_the_photo_that_it_matched() -> None:
    requests = propose(graph((0, 1), (1, 2), (0, 2), (1, 9)), model(0, 1, 2), rank=nothing_alike)

    assert asked(requests, Reason.UNREGISTERED, NAMES[9]) == [pair(0, 9), pair(2, 9)]


def test_pairs_tried_before_are_never_asked_again() -> None:
    tried = tuple(pair(i, j) for i in range(9) for j in range(i + 1, 10) if (i, j) != (3, 7))

    requests = propose(graph((0, 1), (1, 2), (0, 2)), model(*range(7)), tried=tried)

    assert {c.pair for r in requests for c in r.candidates} == {pair(3, 7)}


def test_candidates_of_a_request_are_different_and_likeliest_first() -> None:
    for request in propose(graph((0, 1), (1, 2), (0, 2), (1, 9), (5, 6)), model(0, 1, 2)):
        chances = [c.chance for c in request.candidates]
        assert chances == sorted(chances, reverse=True)
        assert len({c.pair for c in request.candidates}) == len(chances)
        assert all(0 < chance <= 1 for chance in chances)


def test_requests_do_not_depend_on_the_order_of_photos_within_models() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (5, 6), (6, 7), (5, 7))

    assert propose(view_graph, model(0, 1, 2), model(5, 6, 7)) == propose(
        view_graph, model(2, 0, 1), model(7, 5, 6)
    )


def test_two_healthy_models_ask_for_a_few_bridges_only() -> None:
    view_graph = graph(*clique(*range(5)), *clique(*range(5, 10)))

    requests = propose(view_graph, model(*range(5)), model(*range(5, 10)))

    (request,) = requests
    assert request.reason is Reason.BRIDGE
    assert 0 < len(request.candidates) <= 8
    assert request.candidates[0].pair == pair(4, 5)
    assert all((NAMES.index(c.pair.a) < 5) != (NAMES.index(c.pair.b) < 5) for c in request.candidates)


def test_one_edge_between_two_parts_is_asked_to_be_doubled() -> None:
    view_graph = graph(*clique(*range(5)), *clique(*range(5, 10)), (2, 7))

    (request,) = propose(view_graph, model(*range(10)), rank=nothing_alike)

    assert request.reason is Reason.BRIDGE
    numbers = [(NAMES.index(c.pair.a), NAMES.index(c.pair.b)) for c in request.candidates]
    assert all(a < 5 <= b for a, b in numbers)
    assert all(a == 2 or b == 7 for a, b in numbers[:2])


def test_a_complete_model_without_weak_spots_asks_for_nothing() -> None:
    everything = [(i, j) for i in range(10) for j in range(i + 1, 10) if j - i < 4]

    assert propose(graph(*everything), model(*range(10))) == []


def test_what_poses_show_to_be_missing_is_asked() -> None:
    everything = [(i, j) for i in range(10) for j in range(i + 1, 10) if j - i < 4]

    (request,) = propose(graph(*everything), model(*range(10)), links=(LoopClosure(pair(0, 9), 0.8, 0.4),))

    assert (request.reason, request.candidates[0].pair, request.wanted) == (Reason.LOOP, pair(0, 9), 1)


def test_a_registered_photo_with_few_observations_asks_for_partners() -> None:
    thin = {**model(*range(9)), NAMES[9]: 20}

    requests = propose(graph(*clique(*range(9)), (8, 9), (7, 9)), thin)

    assert {r.reason for r in requests} == {Reason.LOW_OVERLAP}
    assert asked(requests, Reason.LOW_OVERLAP, NAMES[9])


def test_without_any_model_photos_ask_for_look_alikes_among_all() -> None:
    requests = propose(graph())

    assert {r.candidates[0].pair for r in requests} <= {pair(i, i + 1) for i in range(9)}
    assert {r.subject for r in requests} == {(name,) for name in NAMES}


def test_before_registration_a_photo_without_partner_counts_for_more_than_one_with_few() -> None:
    requests = propose(graph(*clique(*range(8)), (7, 8)), after_registration=False)

    (lonely,) = [r for r in requests if r.reason is Reason.UNREGISTERED]
    (thin,) = [r for r in requests if r.reason is Reason.LOW_OVERLAP]
    assert lonely.subject == (NAMES[9],)
    assert thin.subject == (NAMES[8],)
    assert lonely.worth > thin.worth
    assert thin.wanted == 2


def test_before_registration_parts_of_the_graph_ask_to_be_joined() -> None:
    requests = propose(graph(*clique(*range(5)), *clique(*range(5, 10))), after_registration=False)

    (request,) = requests
    assert request.reason is Reason.BRIDGE
    assert request.candidates[0].pair == pair(4, 5)


def test_models_that_a_pair_joins_already_ask_for_the_partners_of_its_photos() -> None:
    joined = graph(*clique(*range(5)), *clique(*range(5, 10)), (2, 7))

    requests = propose(joined, model(*range(5)), model(*range(5, 10)), rank=nothing_alike)

    (request,) = (r for r in requests if len(r.subject) == 2 and set(r.subject) == {NAMES[0], NAMES[5]})
    assert request.reason is Reason.BRIDGE
    wanted = {pair(2, i) for i in (5, 6, 8, 9)} | {pair(i, 7) for i in (0, 1, 3, 4)}
    assert {candidate.pair for candidate in request.candidates} == wanted


def test_tried_pairs_go_to_a_stronger_matcher_where_an_image_is_in_no_model_or_models_are_apart() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (4, 5), (5, 6), (4, 6))
    failed = {pair(0, 3): 20, pair(1, 3): 40, pair(2, 4): 30, pair(0, 1): 90}

    requests = propose(view_graph, model(0, 1, 2), model(4, 5, 6), tried=tuple(failed), again=failed)

    again = [request for request in requests if request.is_again]
    (alone,) = [one for one in again if one.reason is Reason.UNREGISTERED and NAMES[3] in one.subject]
    assert [c.pair for c in alone.candidates] == [pair(1, 3), pair(0, 3)]
    (apart,) = [one for one in again if one.reason is Reason.BRIDGE]
    assert [c.pair for c in apart.candidates] == [pair(2, 4)]


def test_partners_of_an_unregistered_photo_are_matched_again_once_its_own_pairs_are() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (0, 3), (1, 3))
    between, own = {pair(0, 1): 9, pair(0, 2): 9, pair(1, 2): 9}, {pair(2, 3): 5}

    def asked(again: dict[Pair, int]) -> set[Pair]:
        requests = propose(view_graph, model(0, 1, 2), tried=(pair(2, 3),), again=again)
        again_of = [one for one in requests if one.is_again and one.reason is Reason.UNREGISTERED]
        return {candidate.pair for one in again_of for candidate in one.candidates}

    assert asked({**between, **own}) == set(own)
    assert asked(between) == {pair(0, 1)}


def test_nothing_goes_to_a_stronger_matcher_where_all_images_are_in_one_model() -> None:
    view_graph = graph((0, 1), (1, 2), (0, 2), (0, 3), (1, 3))
    everyone = model(*range(len(NAMES)))

    requests = propose(view_graph, everyone, again={pair(2, 3): 20})

    assert not any(request.is_again for request in requests)


def test_an_image_that_few_inliers_hold_goes_to_a_stronger_matcher_where_poses_say_it_overlaps() -> None:
    firm, thin = TwoView(200, "uncalibrated", 0.5), TwoView(20, "uncalibrated", 0.5)
    edges = {pair(i, j): firm for i, j in clique(0, 1, 2, 3)} | {pair(0, 4): thin, pair(1, 4): firm}
    overlapping = {pair(0, 4): 0.4, pair(2, 4): 0.9, pair(1, 4): 1.0, pair(0, 1): 1.0, pair(5, 6): 1.0}

    requests = propose(
        ViewGraph(NAMES, edges),
        model(0, 1, 2, 3, 4),
        again=dict.fromkeys(overlapping, 9),
        overlapping=overlapping,
    )

    held = [request for request in requests if request.is_again and request.reason is Reason.LOW_OVERLAP]
    assert [request.subject for request in held] == [(NAMES[4],)]
    assert [c.pair for c in held[0].candidates] == [pair(2, 4), pair(0, 4)]  # the third is firm as it is
    assert held[0].wanted == 2
    assert held[0].is_needed


def test_a_stronger_matcher_holds_no_image_that_firm_pairs_hold() -> None:
    view_graph = graph(*clique(*range(10)))
    overlapping = {pair(0, 1): 1.0, pair(2, 7): 0.5}

    requests = propose(
        view_graph, model(*range(10)), again=dict.fromkeys(overlapping, 9), overlapping=overlapping
    )

    assert not any(request.is_again for request in requests)
