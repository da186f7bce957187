"""What a pair is worth: the determinant that it adds to, given the pairs chosen before it."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair, Reason
from sfm.loop import pair_design
from sfm.loop.pair_design import MIN_GAIN, PairDesign, promising
from sfm.loop.pair_plan import Candidate, PairPlan

PRIOR = pair_design._PRIOR


def named(count: int) -> list[str]:
    return [f"{i:02d}" for i in range(count)]


def chain(count: int, weight: float = 1.0) -> dict[Pair, float]:
    return {Pair(f"{i:02d}", f"{i + 1:02d}"): weight for i in range(count - 1)}


def asked(*pairs: Pair, chance: float = 1.0, is_again: bool = False) -> list[Candidate]:
    return [Candidate(pair, chance, Reason.LOOP, is_again=is_again) for pair in pairs]


def design(
    held: dict[Pair, float],
    candidates: list[Candidate],
    *parts: set[str],
    failed: tuple[Pair, ...] = (),
    links: dict[Pair, float] | None = None,
) -> PairDesign:
    plan = PairPlan(tuple(candidates), held, parts, failed)
    return PairDesign(plan, {one: one.chance for one in candidates}, links or {})


def log_det(edges: dict[Pair, float], names: list[str]) -> float:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_weighted_edges_from((p.a, p.b, w) for p, w in edges.items())
    laplacian = nx.laplacian_matrix(graph, names).toarray()
    return float(np.linalg.slogdet(laplacian + PRIOR * np.eye(len(names)))[1])


def test_gain_is_that_of_the_determinant() -> None:
    held, extra = chain(6), Pair("00", "05")

    (gain,) = design(held, asked(extra), set(named(6))).gains()

    assert gain == pytest.approx(log_det({**held, extra: 1.0}, named(6)) - log_det(held, named(6)), abs=1e-5)
    assert gain == pytest.approx(np.log1p(5), abs=1e-4)


@given(st.integers(3, 12), st.integers(0, 1000))
def test_gains_fall_with_each_choice_and_are_those_of_the_determinant(count: int, seed: int) -> None:
    """Chances of 1: then what is expected is what is chosen."""
    rng, names = np.random.default_rng(seed), named(count)
    held = {pair: float(rng.uniform(0.2, 2)) for pair in chain(count)}
    candidates = asked(*(Pair(*ends) for ends in combinations(names, 2) if Pair(*ends) not in held))
    found, now = design(held, candidates, set(names)), dict(held)

    before = found.gains()
    for _ in candidates:
        best = int(np.argmax(before))
        pair = candidates[best].pair
        after_it = {**now, pair: 1.0}
        assert before[best] == pytest.approx(log_det(after_it, names) - log_det(now, names), abs=1e-4)
        now = after_it
        found.choose(pair)
        after = found.gains()
        assert after[best] == 0
        assert (after <= before + 1e-6).all()
        before = after


def test_closing_the_loop_comes_first_and_its_double_then_gains_little() -> None:
    candidates = asked(Pair("00", "19"), Pair("01", "19"), Pair("03", "05"))
    found = design(chain(20), candidates, set(named(20)))

    first = found.gains()
    found.choose(Pair("00", "19"))

    assert np.argmax(first) == 0
    assert first[0] == pytest.approx(np.log(20), abs=1e-3)
    assert found.gains()[1] < 0.4 * first[1]
    assert found.gains()[2] > 0.9 * first[2]


def test_an_image_alone_comes_before_what_few_pairs_hold_and_that_before_what_many_do() -> None:
    firm = {Pair(*ends): 2.0 for ends in combinations(named(6), 2)}
    held = {**firm, Pair("05", "06"): 1.0}
    del held[Pair("00", "01")]

    alone, thin, firm_gain = design(
        held, asked(Pair("00", "07"), Pair("00", "06"), Pair("00", "01")), set(named(7))
    ).gains()

    assert alone > 10
    assert 0.5 < thin < 1.5
    assert firm_gain < MIN_GAIN


def test_two_parts_are_worth_a_bridge() -> None:
    left, right = {Pair("00", "01"): 1.0}, {Pair("02", "03"): 1.0}

    (gain,) = design({**left, **right}, asked(Pair("01", "02")), {"00", "01"}, {"02", "03"}).gains()

    assert gain > 10


def test_of_what_is_apart_each_verified_pair_makes_the_next_less_urgent() -> None:
    held = chain(4)
    candidates, parts = asked(Pair("00", "09"), Pair("01", "09")), set(named(4))

    (first, second) = design(held, candidates, parts).gains()
    link = {Pair("02", "09"): 1.0}
    (after, _) = design(held, candidates, parts, links=link).gains()

    assert first == pytest.approx(second)
    assert after == pytest.approx(first / 3)


def test_of_what_is_apart_each_choice_makes_the_next_less_urgent_as_far_as_it_is_likely() -> None:
    def left(chance: float) -> float:
        candidates = [
            Candidate(Pair("00", "09"), chance, Reason.UNREGISTERED),
            Candidate(Pair("01", "09"), 0.5, Reason.UNREGISTERED),
        ]
        found = design(chain(4), candidates, set(named(4)))
        before = float(found.gains()[1])
        found.choose(Pair("00", "09"))
        return float(found.gains()[1]) / before

    assert left(0.02) > 0.95
    assert left(1.0) == pytest.approx(1 / 3)


def test_pairs_that_did_not_join_what_is_apart_make_the_next_less_likely_to() -> None:
    candidates = asked(Pair("00", "09"), Pair("00", "08"))
    failed = (Pair("01", "09"), Pair("02", "09"), Pair("03", "09"))

    tried, new = design(chain(4), candidates, set(named(4)), failed=failed).gains()

    assert tried == pytest.approx(new / 4, rel=1e-3)


def test_more_inliers_and_more_information_are_wanted_of_the_stronger_matcher() -> None:
    both = asked(Pair("00", "05")) + asked(Pair("00", "05"), is_again=True)
    found = design(chain(6), both, set(named(6)))

    plain, again = found.gains()
    found.choose(Pair("00", "05"))

    assert plain == pytest.approx(np.log1p(5), abs=1e-3)
    assert again == pytest.approx(np.log1p(2 * 5) / pair_design._PRICE_AGAIN, abs=1e-3)
    assert found.gains().tolist() == [0, 0]


def test_what_is_never_worth_a_pair_is_left_out_of_a_round() -> None:
    firm = {Pair(*ends): 2.0 for ends in combinations(named(12), 2)}
    missing = Pair("00", "01")
    del firm[missing]
    test = Candidate(missing, 0.5, Reason.LOOP, worth=0.1)
    alone = Candidate(Pair("00", "99"), 0.5, Reason.UNREGISTERED)
    plan = PairPlan((*asked(missing), test, alone), firm, (set(named(12)),))

    assert promising(plan).candidates == (test, alone)


def test_a_round_without_candidates_has_no_gains() -> None:
    plan = PairPlan((), {}, ())

    assert promising(plan) == plan
    assert design({}, []).gains().tolist() == []


def test_of_very_many_candidates_the_variances_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, names = np.random.default_rng(3), named(60)
    held = {**chain(60), **{Pair(*sorted(rng.choice(names, 2, replace=False))): 0.5 for _ in range(40)}}
    pairs = [Pair(*ends) for ends in combinations(names, 2)]
    poses = pair_design._Poses(held, set(names))

    exact = poses.variances(pairs)
    monkeypatch.setattr(pair_design, "_MOST_EXACT", 10)
    estimated = poses.variances(pairs)

    ratios = estimated / exact
    assert len(pairs) == 1770
    assert np.median(np.abs(ratios - 1)) < 0.2
    assert (estimated == poses.variances(pairs)).all()
