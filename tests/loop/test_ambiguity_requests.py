"""Places of parts are put to the test: beyond the usual budget, blindly, and whatever the first pairs say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pycolmap
import pytest

from retrieval import Edge, Pair, Reason
from sfm.config.schema import RegisterConfig
from sfm.loop.ambiguity_requests import ambiguity_requests
from sfm.loop.pair_plan import Candidate
from sfm.mapping import AmbiguousPart
from sfm.matching import Guides, MatchReport
from tests.loop.stand_in import NAMES, Engine, model_of, run

TELLING = (*(Pair(NAMES[0], name) for name in NAMES[6:]), Pair(NAMES[1], NAMES[7]))


class Contested(Engine):
    """All photos are registered at once; no telling pair verifies."""

    def __init__(self) -> None:
        super().__init__()
        self.contested = (AmbiguousPart(frozenset(NAMES[:2]), TELLING),)

    def grown(self, start: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
        self.starts.append(len(start))
        return (model_of(len(NAMES)),)

    def ambiguous_parts(
        self, models: Sequence[pycolmap.Reconstruction], probability: Mapping[Pair, float]
    ) -> Sequence[AmbiguousPart]:
        tried = set().union(*self.matched)
        untried = tuple(pair for pair in TELLING if pair not in tried)
        return (AmbiguousPart(frozenset(NAMES[:2]), untried),) if untried else ()


def test_telling_pairs_are_matched_beyond_the_usual_budget_and_models_are_made_anew(tmp_path: Path) -> None:
    engine = Contested()

    result = run(engine, tmp_path, RegisterConfig(pairs_per_photo=0.5))

    edges = result.scene_graph.edges
    assert {edges[pair].reason for pair in TELLING} == {Reason.VERIFY}
    assert not any(pair in result.view_graph for pair in TELLING)
    assert not any(pair in guided for pair in TELLING for guided in engine.guided)
    asking = [i for i, r in enumerate(result.rounds) if r.models_before and r.asked.get("verify")]
    assert asking
    assert len(engine.starts) > len(asking)  # the first models, and those after each of these rounds


def test_no_telling_pair_beyond_the_hard_limit(tmp_path: Path) -> None:
    engine = Contested()

    result = run(engine, tmp_path, RegisterConfig(pairs_per_photo=0.5, max_pairs_per_photo=0.7))

    assert not set(TELLING) & result.scene_graph.edges.keys()


def test_pairs_that_could_not_be_matched_are_not_asked_for_again(tmp_path: Path) -> None:
    class Failing(Contested):
        def ambiguous_parts(
            self, models: Sequence[pycolmap.Reconstruction], probability: Mapping[Pair, float]
        ) -> Sequence[AmbiguousPart]:
            return self.contested  # a pair that failed, as for want of memory, leaves no trace

    engine = Failing()

    run(engine, tmp_path, RegisterConfig())

    asked = [pair for pairs in engine.matched for pair in pairs]
    assert set(TELLING) <= set(asked)
    assert len(asked) == len(set(asked))


def test_a_kill_while_telling_pairs_are_matched_changes_nothing(tmp_path: Path) -> None:
    class Killed(Contested):
        def match(self, edges: Mapping[Pair, Edge], guides: Guides) -> MatchReport:
            if not edges.keys().isdisjoint(TELLING):
                raise KeyboardInterrupt
            return super().match(edges, guides)

    config = RegisterConfig(pairs_per_photo=0.5)
    resumed, undisturbed = Contested(), Contested()
    with pytest.raises(KeyboardInterrupt):
        run(Killed(), tmp_path / "rounds", config)

    result = run(resumed, tmp_path / "rounds", config)
    expected = run(undisturbed, tmp_path / "other", config)

    assert resumed.matched == undisturbed.matched
    assert [replace(r, seconds=0) for r in result.rounds] == [replace(r, seconds=0) for r in expected.rounds]
    assert result.scene_graph == expected.scene_graph


def test_each_telling_pair_is_a_request_of_its_own_that_survives_a_restart() -> None:
    twice = AmbiguousPart(frozenset(NAMES[2:3]), TELLING[:1])
    requests = list(ambiguity_requests([AmbiguousPart(frozenset(NAMES[:2]), TELLING), twice], frozenset()))

    assert [one.pair for one in requests] == list(TELLING)
    assert all(one.is_needed and one.is_unguided and one.question is None for one in requests)
    assert [Candidate.from_json(one.to_json()) for one in requests] == requests
