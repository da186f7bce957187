from collections.abc import Mapping, Set

import hypothesis.strategies as st
from hypothesis import given

from retrieval import Edge, Pair, Reason
from sfm.loop.requests import Candidate, PairRequest
from sfm.loop.scheduler import Budget, Outcome, YieldStatistics, run_requests

PLENTY = Budget(usual=1000, most=1000)


def ask(
    name: str, *others: str, reason: Reason = Reason.UNREGISTERED, wanted: int = 1, worth: float = 1.0
) -> PairRequest:
    candidates = tuple(Candidate(Pair.of(name, other), 0.6 * 0.9**i) for i, other in enumerate(others))
    return PairRequest(reason, (name,), candidates, wanted, worth)


class Matcher:
    """Verifies the pairs that it is told to."""

    def __init__(self, *right: Pair) -> None:
        self.right = frozenset(right)
        self.batches: list[list[Pair]] = []

    def __call__(self, edges: Mapping[Pair, Edge]) -> Set[Pair]:
        self.batches.append(list(edges))
        return self.right & edges.keys()

    @property
    def tried(self) -> list[Pair]:
        return [pair for batch in self.batches for pair in batch]


def work(
    *requests: PairRequest,
    matcher: Matcher,
    budget: Budget = PLENTY,
    batch: int = 4,
    yields: YieldStatistics | None = None,
) -> Outcome:
    return run_requests(
        requests,
        matcher,
        budget=budget,
        yields=yields or YieldStatistics(),
        round=2,
        batch_size=batch,
    )


def test_a_request_that_is_satisfied_asks_no_further() -> None:
    others = [f"{i}" for i in range(10)]
    matcher = Matcher(*(Pair.of("x", other) for other in others))

    outcome = work(ask("x", *others, wanted=2), matcher=matcher, batch=1)

    assert matcher.tried == [Pair.of("x", "0"), Pair.of("x", "1")]
    assert outcome.verified == set(matcher.tried)


def test_a_photo_that_matches_nothing_is_given_up_before_its_candidates_end() -> None:
    matcher = Matcher()

    work(ask("x", *(f"{i}" for i in range(100))), matcher=matcher, batch=1)

    assert 3 <= len(matcher.tried) <= 20


def test_failures_count_in_later_batches_until_they_are_forgiven() -> None:
    request, yields, matcher = ask("x", *(f"{i}" for i in range(100))), YieldStatistics(), Matcher()

    def one_batch() -> int:
        before = len(matcher.tried)
        outcome = run_requests(
            [request], matcher, budget=PLENTY, yields=yields, round=1, batch_size=2, max_batches=1
        )
        request_left = tuple(c for c in request.candidates if c.pair not in matcher.tried)
        assert len(outcome.edges) == len(matcher.tried) - before <= 2
        return len(request_left)

    while one_batch() and yields.failed[request.reason, request.subject] < 8:
        request = ask("x", *(f"{i}" for i in range(len(matcher.tried), 100)))
    worth_now = work(request, matcher=Matcher(), batch=50, yields=yields)
    yields.reset_failures()
    after_reset = work(request, matcher=Matcher(), batch=50, yields=yields)

    assert len(worth_now.edges) < len(after_reset.edges)


def test_worthier_requests_come_first() -> None:
    matcher = Matcher()

    work(ask("x", "a", worth=0.2), ask("y", "b", worth=0.9), matcher=matcher, batch=1)

    assert matcher.tried == [Pair.of("y", "b"), Pair.of("x", "a")]


def test_beyond_the_usual_budget_only_what_decides_who_is_in_the_model() -> None:
    matcher = Matcher()
    requests = [ask(f"w{i}", f"v{i}", reason=Reason.LOOP) for i in range(5)]
    requests += [ask(f"o{i}", f"p{i}", worth=0.5) for i in range(5)]

    outcome = work(*requests, matcher=matcher, budget=Budget(usual=5, most=8), batch=3)

    reasons = [edge.reason for edge in outcome.edges.values()]
    assert reasons == [Reason.LOOP] * 5 + [Reason.UNREGISTERED] * 3


def test_a_reason_that_never_verifies_is_asked_less() -> None:
    yields = YieldStatistics()
    work(
        *(ask(f"a{i}", f"b{i}", reason=Reason.LOW_OVERLAP) for i in range(60)),
        matcher=Matcher(),
        yields=yields,
    )

    assert yields.chance(Reason.LOW_OVERLAP, 0.6) < 0.2
    assert yields.chance(Reason.UNREGISTERED, 0.6) == 0.6


def test_a_reason_whose_verified_pairs_mend_nothing_pays_less() -> None:
    yields = YieldStatistics()
    for _ in range(20):
        yields.settle(Reason.UNREGISTERED, resolved=False)
        yields.settle(Reason.BRIDGE, resolved=True)

    assert yields.yield_of(Reason.UNREGISTERED) < 0.2
    assert yields.yield_of(Reason.BRIDGE) == 1.0


def test_a_pair_counts_for_every_request_that_names_it() -> None:
    matcher = Matcher(Pair.of("x", "y"))

    outcome = work(ask("x", "y", "z"), ask("y", "x", "z"), matcher=matcher, batch=1)

    assert matcher.tried == [Pair.of("x", "y")]
    assert len(outcome.answered) == 2


NAMES = [f"{i}" for i in range(6)]
REQUESTS = st.lists(
    st.builds(
        lambda name, others, reason, wanted, worth: ask(
            name, *(o for o in dict.fromkeys(others) if o != name), reason=reason, wanted=wanted, worth=worth
        ),
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(NAMES), max_size=6),
        st.sampled_from([Reason.UNREGISTERED, Reason.BRIDGE, Reason.LOW_OVERLAP, Reason.LOOP]),
        st.integers(1, 3),
        st.floats(0.01, 2.0),
    ),
    max_size=8,
)
RIGHT = st.sets(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))
    .filter(lambda p: p[0] < p[1])
    .map(lambda p: Pair(*p))
)


@given(REQUESTS, RIGHT, st.integers(0, 12), st.integers(0, 12), st.integers(1, 5))
def test_no_pair_twice_within_the_budget_and_the_same_again(
    requests: list[PairRequest], right: set[Pair], usual: int, more: int, batch: int
) -> None:
    budget = Budget(usual, usual + more)
    first, second = Matcher(*right), Matcher(*right)

    outcome = work(*requests, matcher=first, budget=budget, batch=batch)
    work(*requests, matcher=second, budget=budget, batch=batch)

    assert len(first.tried) == len(set(first.tried)) <= budget.most
    assert all(len(b) <= batch for b in first.batches)
    assert set(outcome.edges) == set(first.tried)
    assert outcome.verified == set(first.tried) & right
    assert first.batches == second.batches
    assert all(edge.round == 2 and 0 <= edge.score <= 1 for edge in outcome.edges.values())


@given(REQUESTS)
def test_requests_survive_the_way_to_disk(requests: list[PairRequest]) -> None:
    assert [PairRequest.from_json(request.to_json()) for request in requests] == requests
