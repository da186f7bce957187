"""Suspects that matter are asked about, a few of each crowd; others cost no pair."""

from __future__ import annotations

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.loop import deciding_requests
from sfm.loop.consistency_requests import is_unreliable, unasked
from sfm.mapping import InconsistencyReport, InconsistentPair
from sfm.mapping.pair_consistency.inconsistent_pairs import Evidence


def inconsistent(
    a: int, b: int, *, inliers: int = 80, score: float = 0.9, deciding: int = 2
) -> InconsistentPair:
    evidence = Evidence(inliers, 0.01, 0.2, 0.1, 0.6, 0.2, 6, 60, None)
    asked = tuple(Pair.of(f"{a:03d}", f"{b + 1 + i:03d}") for i in range(deciding))
    return InconsistentPair(Pair.of(f"{a:03d}", f"{b:03d}"), score, "why", evidence, asked)


def test_a_firm_suspect_is_asked_about_with_its_deciding_pairs() -> None:
    found = inconsistent(0, 50)

    (request,) = deciding_requests(InconsistencyReport((found,), ambiguous=False), num_photos=100)

    assert request.reason is Reason.VERIFY
    assert request.subject == ("000", "050")
    assert tuple(candidate.pair for candidate in request.candidates) == found.deciding
    assert all(0 < candidate.chance < 1 for candidate in request.candidates)


def test_weak_or_unsure_suspects_and_those_without_a_question_cost_nothing() -> None:
    weak, mute = inconsistent(0, 50, inliers=29), inconsistent(2, 52, deciding=0)
    unsure = inconsistent(4, 54, score=0.3)

    assert deciding_requests(InconsistencyReport((weak, mute, unsure), ambiguous=False), num_photos=100) == []
    (request,) = deciding_requests(InconsistencyReport((weak, mute, unsure), ambiguous=True), num_photos=100)
    assert request.subject == ("004", "054")
    assert deciding_requests(InconsistencyReport((), ambiguous=False), num_photos=100) == []
    assert deciding_requests(None, num_photos=100) == []


def test_of_a_crowd_a_few_are_asked_about_each_photo_once() -> None:
    crowd = tuple(inconsistent(a, b) for a in range(10) for b in range(50, 60))

    requests = deciding_requests(InconsistencyReport(crowd, ambiguous=True), num_photos=20)

    assert len(requests) == 5
    photos = [name for request in requests for name in request.subject]
    assert len(set(photos)) == len(photos)


def test_several_firm_suspects_put_the_pairs_in_doubt_and_weak_ones_do_not() -> None:
    firm, other, weak = inconsistent(0, 50), inconsistent(2, 52), inconsistent(4, 54, inliers=29)

    assert is_unreliable(InconsistencyReport((firm, other, weak), ambiguous=False))
    assert not is_unreliable(InconsistencyReport((firm, weak), ambiguous=True))
    assert not is_unreliable(None)


def test_a_photo_is_asked_about_once_and_after_registration_only_for_later_pairs() -> None:
    early, late, done = inconsistent(0, 50), inconsistent(2, 52), inconsistent(4, 54)
    edges = {
        early.pair: Edge(0.5, Reason.KNN, 0),
        late.pair: Edge(0.5, Reason.UNREGISTERED, 7),
        done.pair: Edge(0.5, Reason.UNREGISTERED, 7),
        Pair("004", "099"): Edge(0.5, Reason.VERIFY, 3),
    }
    graph = SceneGraph(tuple(f"{i:03d}" for i in range(100)), edges)
    report = InconsistencyReport((early, late, done), ambiguous=True)

    def left(later_than: int) -> tuple[InconsistentPair, ...]:
        found = unasked(report, graph, later_than)
        assert found is not None
        assert found.ambiguous
        return found.inconsistent_pairs

    assert left(-1) == (early, late)
    assert left(5) == (late,)
    assert unasked(None, graph, -1) is None
