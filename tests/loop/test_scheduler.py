"""Which candidates are matched, in which order, and when enough is enough."""

from collections.abc import Mapping
from itertools import combinations

import hypothesis.strategies as st
from hypothesis import given

from retrieval import Edge, Pair, Reason
from sfm.loop.pair_plan import Candidate, PairPlan
from sfm.loop.scheduler import Budget, Outcome, run_plan

PLENTY = Budget(usual=1000, most=1000)
FIRM = [f"f{i:02d}" for i in range(40)]
HELD = {Pair(*ends): 2.0 for ends in combinations(FIRM, 2) if int(ends[1][1:]) - int(ends[0][1:]) < 5}


class Matcher:
    """Verifies the pairs that it is told to, with 50 inliers each."""

    def __init__(self, *right: Pair) -> None:
        self.right = frozenset(right)
        self.batches: list[list[Pair]] = []

    def __call__(self, edges: Mapping[Pair, Edge]) -> Mapping[Pair, int]:
        self.batches.append(list(edges))
        return dict.fromkeys(sorted(self.right & edges.keys()), 50)

    @property
    def tried(self) -> list[Pair]:
        return [pair for batch in self.batches for pair in batch]


def alone(name: str, count: int = len(FIRM), *, chance: float = 0.6, decay: float = 0.97) -> list[Candidate]:
    """Candidates of an image that nothing connects."""
    return [
        Candidate(Pair.of(name, other), chance * decay**i, Reason.UNREGISTERED)
        for i, other in enumerate(FIRM[:count])
    ]


def asks(pair: Pair, worth: float) -> Candidate:
    return Candidate(pair, 0.5, Reason.LOOP, worth)


def work(
    candidates: list[Candidate], matcher: Matcher, *, budget: Budget = PLENTY, batch: int = 4
) -> Outcome:
    plan = PairPlan(tuple(candidates), HELD, (frozenset(FIRM),))
    return run_plan(plan, matcher, budget=budget, round=2, batch_size=batch)


def test_an_image_that_enough_pairs_hold_is_asked_for_no_further() -> None:
    candidates = alone("x")
    matcher = Matcher(*(one.pair for one in candidates))

    outcome = work(candidates, matcher, batch=1)

    assert 2 <= len(matcher.tried) <= 8
    assert set(outcome.inliers) == set(matcher.tried)
    assert matcher.tried[0] == candidates[0].pair


def test_an_image_that_matches_nothing_is_given_up_before_its_candidates_end() -> None:
    matcher = Matcher()

    work(alone("x"), matcher, batch=1)

    assert 4 <= len(matcher.tried) <= 20


def test_images_that_match_nothing_do_not_keep_others_from_being_matched() -> None:
    candidates = [one for name in ("w", "x", "y") for one in alone(name, 12)]
    right = [one.pair for one in candidates if "y" in one.pair][5:]
    matcher = Matcher(*right)

    outcome = work(candidates, matcher)

    assert set(outcome.inliers) <= set(right)
    assert outcome.inliers


def test_what_is_worth_more_comes_first() -> None:
    matcher = Matcher()
    candidates = [asks(Pair("a", "x"), 2.0), asks(Pair("b", "x"), 9.0), *alone("y", 1)]

    work(candidates, matcher, batch=1)

    assert matcher.tried == [Pair("b", "x"), Pair("f00", "y"), Pair("a", "x")] or matcher.tried == [
        Pair("f00", "y"),
        Pair("b", "x"),
        Pair("a", "x"),
    ]
    assert matcher.tried[-1] == Pair("a", "x")


def test_what_is_not_worth_a_pair_is_not_matched() -> None:
    matcher = Matcher()

    work([asks(Pair("a", "x"), 0.5), asks(Pair("b", "x"), 0.7)], matcher)

    assert matcher.tried == [Pair("b", "x")]


def test_beyond_the_usual_budget_only_what_decides_who_is_in_the_model() -> None:
    matcher = Matcher()
    loops = [Candidate(Pair(f"f{i:02d}", f"f{i + 30:02d}"), 1.0, Reason.LOOP, worth=20.0) for i in range(5)]
    others = [one for i in range(5) for one in alone(f"o{i}", 1)]

    outcome = work([*loops, *others], matcher, budget=Budget(usual=3, most=6), batch=3)

    reasons = [edge.reason for edge in outcome.edges.values()]
    assert reasons == [Reason.LOOP] * 3 + [Reason.UNREGISTERED] * 3


def test_a_pair_of_two_kinds_is_matched_once() -> None:
    pair = Pair("f00", "x")
    matcher = Matcher(pair)

    work([Candidate(pair, 0.6, Reason.UNREGISTERED), asks(pair, 3.0)], matcher, batch=1)

    assert matcher.tried == [pair]


NAMES = [*FIRM[:4], "x", "y", "z"]
CANDIDATES = st.lists(
    st.builds(
        lambda ends, chance, worth, is_again: Candidate(
            Pair(*ends), chance, Reason.LOOP, worth, is_again=is_again
        ),
        st.sampled_from(list(combinations(NAMES, 2))),
        st.floats(0.02, 1.0),
        st.none() | st.floats(0.0, 20.0),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda one: (one.pair, one.is_again),
)
RIGHT = st.sets(st.sampled_from(list(combinations(NAMES, 2))).map(lambda ends: Pair(*ends)))


@given(CANDIDATES, RIGHT, st.integers(0, 12), st.integers(0, 12), st.integers(1, 5))
def test_no_pair_twice_within_the_budget_and_the_same_again(
    candidates: list[Candidate], right: set[Pair], usual: int, more: int, batch: int
) -> None:
    budget = Budget(usual, usual + more)
    first, second = Matcher(*right), Matcher(*right)

    outcome = work(candidates, first, budget=budget, batch=batch)
    work(candidates, second, budget=budget, batch=batch)

    assert len(first.tried) == len(set(first.tried)) <= budget.most
    assert all(len(b) <= batch for b in first.batches)
    assert set(outcome.edges) == set(first.tried)
    assert set(outcome.inliers) == set(first.tried) & right
    assert first.batches == second.batches
    assert all(edge.round == 2 and 0 <= edge.score <= 1 for edge in outcome.edges.values())
