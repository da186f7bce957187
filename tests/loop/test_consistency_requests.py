"""Doubtful links are asked about, most information first, with few pairs in all."""

from collections.abc import Iterable

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.loop import deciding_requests
from sfm.mapping import InconsistencyReport
from sfm.mapping.pair_consistency.inconsistent_pairs import DoubtfulLink


def link(a: int, b: int, *, information: float = 0.9, deciding: int = 2) -> DoubtfulLink:
    asked = tuple(Pair.of(f"{a:03d}", f"{b + 1 + i:03d}") for i in range(deciding))
    return DoubtfulLink(Pair.of(f"{a:03d}", f"{b:03d}"), information, asked)


def report(*links: DoubtfulLink) -> InconsistencyReport:
    return InconsistencyReport((), doubtful_links=links)


def graph(num_pairs: int, asked: Iterable[Pair] = ()) -> SceneGraph:
    names = tuple(f"{i:03d}" for i in range(100))
    tried = [Pair(a, b) for a in names for b in names if a < b and a > "060"][:num_pairs]
    edges = {pair: Edge(0.5, Reason.KNN, 0) for pair in tried}
    return SceneGraph(names, edges | {pair: Edge(0.5, Reason.VERIFY, 1) for pair in asked})


def test_a_doubtful_link_is_asked_about_with_its_deciding_pairs() -> None:
    found = link(0, 50)

    requests = deciding_requests(report(found), graph(100))

    assert tuple(one.pair for one in requests) == found.deciding
    assert {one.reason for one in requests} == {Reason.VERIFY}
    assert {one.question for one in requests} == {"000/050"}
    assert all(0 < one.chance < 1 for one in requests)


def test_more_information_is_worth_more() -> None:
    links = link(0, 50, information=0.2, deciding=1), link(2, 52, deciding=1)

    sure, open_ = deciding_requests(report(*links), graph(200))

    assert sure.worth is not None
    assert open_.worth is not None
    assert sure.worth < open_.worth


def test_of_many_links_a_few_are_asked_about_each_photo_once() -> None:
    crowd = [link(a, b) for a in range(10) for b in range(50, 60)]

    requests = deciding_requests(report(*crowd), graph(200))

    assert len(requests) == 6  # three in a hundred pairs
    photos = [name for question in {one.question or "" for one in requests} for name in question.split("/")]
    assert len(set(photos)) == len(photos)


def test_what_earlier_rounds_asked_counts_and_is_not_asked_again() -> None:
    asked = [Pair("000", "051"), Pair("002", "053")]

    requests = deciding_requests(report(link(0, 50), link(4, 54), link(6, 56)), graph(110, asked))

    assert {one.question for one in requests} == {"004/054"}


def test_without_doubt_nothing_is_asked() -> None:
    assert deciding_requests(report(), graph(100)) == []
    assert deciding_requests(None, graph(100)) == []
