"""The closed loop's bookkeeping: rounds, budget, and going on after a kill. Registration itself is faked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pycolmap
import pytest

from retrieval import Edge, Pair
from sfm.config.schema import RegisterConfig
from sfm.errors import WorkspaceError
from sfm.loop import LoopState, Models, rounds
from sfm.loop.pair_plan import PairPlan
from sfm.mapping import InconsistencyReport
from sfm.matching import MatchReport
from sfm.workspace.events import EventLog, EventSink, read_events
from tests.loop.stand_in import CHAIN, NAMES, Engine, run


def test_rounds_continue_the_model_of_the_last(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(max_rounds=2))

    assert engine.starts[:2] == [0, 4]
    after = [r for r in result.rounds if r.models_before]
    continued = [r for r in after if r.verified or not r.matched]  # without pairs: begun afresh
    assert all(r.registered_after - r.registered_before == (r in continued) for r in after)
    assert result.models[0].num_reg_images() == 4 + len(continued)


def test_the_first_rounds_firm_up_the_graph_without_any_model(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(max_rounds=1))

    first = result.rounds[0]
    assert (first.round, first.registered_after, first.models_after) == (1, 0, 0)
    asked = set().union(*(r.asked for r in result.rounds))
    assert asked >= {
        "unregistered",
        "low_overlap",
    }  # photos 6 and 7 have no partner, the ends of the chain one
    assert min(result.view_graph.degree(name) for name in NAMES) >= 2


def test_no_pair_is_asked_for_twice(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(max_rounds=3))

    asked = [pair for pairs in engine.matched for pair in pairs]
    assert len(asked) == len(set(asked))
    assert not set(asked) & set(CHAIN.edges)
    assert len(result.scene_graph) == len(CHAIN) + len(asked)


def test_the_budget_is_kept(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(pairs_per_photo=1.0, max_pairs_per_photo=1.5))

    assert len(CHAIN) < len(result.scene_graph) <= 1.5 * len(NAMES)


def test_suspects_are_handed_on_where_the_last_look_asked_nothing(tmp_path: Path) -> None:
    result = run(Engine(), tmp_path, RegisterConfig(max_rounds=20))

    assert result.inconsistent_pairs == InconsistencyReport(())


@pytest.mark.parametrize("use", ["defer", "trust"])
def test_pairs_that_are_trusted_count_everywhere(
    use: Literal["defer", "trust"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deferred, seen = frozenset({Pair("0.jpg", "1.jpg")}), []
    find = rounds.plan_of

    class Deferring(Engine):
        def inconsistent_pairs(self) -> InconsistencyReport:
            return InconsistencyReport((), deferred=deferred)

        def reconstruct(self, start: Models, report: InconsistencyReport, *rest: Any, **how: Any) -> Models:
            seen.append(report.deferred)
            return super().reconstruct(start, report, *rest, **how)

    def noting(now: LoopState) -> PairPlan:
        if now.members:
            seen.append(frozenset(pair for pair, chance in now.probability.items() if chance == 0))
        return find(now)

    monkeypatch.setattr(rounds, "plan_of", noting)
    run(Deferring(), tmp_path, RegisterConfig(max_rounds=1, inconsistent_pairs=use))

    assert len(seen) > 2
    assert set(seen) == {deferred if use == "defer" else frozenset()}


def test_without_rounds_nothing_is_asked(tmp_path: Path) -> None:
    engine = Engine()

    assert run(engine, tmp_path, RegisterConfig(max_rounds=0)).rounds == ()
    assert engine.matched == []


def test_a_round_that_verifies_nothing_is_followed_by_a_comparison_alone(tmp_path: Path) -> None:
    engine = Engine()
    engine.verifies = False

    result = run(engine, tmp_path, RegisterConfig(max_rounds=4))

    assert engine.comparisons == [False, True]
    assert not any(r.verified for r in result.rounds)


@pytest.mark.parametrize("num_rounds", [0, 1, 4])
def test_a_model_that_is_probably_wrong_is_compared_once_no_more_pairs_are_matched(
    tmp_path: Path, num_rounds: int
) -> None:
    engine = Engine()
    engine.is_wrong = True

    result = run(engine, tmp_path, RegisterConfig(max_rounds=num_rounds))

    assert engine.comparisons == [*[False] * (len(engine.starts) - 1), True]
    assert num_rounds == 0 or not result.rounds[-1].matched


def test_colmaps_mappers_get_the_firm_graph_and_no_further_rounds(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(mapper="global"))

    assert engine.starts == [0]
    assert result.rounds
    assert all(r.models_before == 0 for r in result.rounds)


def test_a_finished_run_registers_nothing_again_and_tells_the_same_story(tmp_path: Path) -> None:
    config = RegisterConfig(max_rounds=2)
    first, second = EventLog(tmp_path / "first.jsonl"), EventLog(tmp_path / "second.jsonl")
    before = run(Engine(), tmp_path / "rounds", config, first)
    again = Engine()

    after = run(again, tmp_path / "rounds", config, second)

    assert again.starts == []
    assert after.scene_graph == before.scene_graph
    stories = [
        [(e["event"], e.get("num_images")) for e in read_events(path) if e["stage"] == "register"]
        for path in (tmp_path / "first.jsonl", tmp_path / "second.jsonl")
    ]
    assert stories[0] == stories[1] != []


@pytest.mark.parametrize(
    "part",
    [
        "*/plan_of_graph.json",
        "*/finished/0/points3D.bin",
        "*/finished/0/images.bin",
    ],
)
@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 300])
def test_damage_in_what_rounds_left_is_named(tmp_path: Path, part: str, damage: bytes) -> None:
    config = RegisterConfig(max_rounds=2)
    run(Engine(), tmp_path / "rounds", config)
    damaged = sorted((tmp_path / "rounds").glob(part))[0]
    damaged.write_bytes(damage)

    with pytest.raises(WorkspaceError, match="damaged") as caught:
        run(Engine(), tmp_path / "rounds", config)

    assert str(damaged).startswith(str(caught.value).split(" is damaged")[0])
    assert str(tmp_path / "rounds") in caught.value.hint


@pytest.mark.parametrize("step", ["further rounds", "last adjustment"])
def test_models_outlive_a_bug_in_what_follows_them_unchanged(step: str, tmp_path: Path) -> None:
    failed = []

    @contextmanager
    def survived(name: str) -> Iterator[None]:
        try:
            yield
        except IndexError:
            failed.append(name)

    def spoil(models: Sequence[pycolmap.Reconstruction]) -> Sequence[pycolmap.Reconstruction]:
        for image_id in list(models[0].reg_image_ids()):
            models[0].deregister_frame(models[0].image(image_id).frame_id)
        raise IndexError("Camera with ID 4 does not exist")

    class Failing(Engine):
        def grown(self, start: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
            return spoil(start) if start and step == "further rounds" else super().grown(start)  # type: ignore[return-value]

        def refine(self, models: Models, consistency: InconsistencyReport, events: EventSink) -> Models:
            return spoil(models) if step == "last adjustment" else models

    result = run(
        Failing(),
        tmp_path,
        RegisterConfig(max_rounds=2 if step == "further rounds" else 0),
        survived=survived,
    )

    assert failed == [step]
    assert [model.num_reg_images() for model in result.models] == [4]


def test_pairs_that_were_matched_before_a_bug_are_in_the_result(tmp_path: Path) -> None:
    class Failing(Engine):
        def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
            report = super().match(edges)
            if self.starts:
                raise IndexError("a bug")
            return report

    @contextmanager
    def survived(name: str) -> Iterator[None]:
        with suppress(IndexError):
            yield

    engine = Failing()

    result = run(engine, tmp_path, RegisterConfig(max_rounds=3), survived=survived)

    noted = {pair for pairs in engine.matched[:-1] for pair in pairs}
    assert set(result.scene_graph.edges) == set(CHAIN.edges) | noted
    assert not set(engine.known).isdisjoint(engine.matched[-1])
    assert set(result.view_graph.edges) == set(engine.known)


def test_a_kill_while_matching_repeats_the_same_requests(tmp_path: Path) -> None:
    class Killed(Engine):
        def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
            super().match(edges)
            raise KeyboardInterrupt

    config = RegisterConfig(max_rounds=1)
    killed, resumed, undisturbed = Killed(), Engine(), Engine()
    with pytest.raises(KeyboardInterrupt):
        run(killed, tmp_path / "rounds", config)

    result = run(resumed, tmp_path / "rounds", config)
    expected = run(undisturbed, tmp_path / "other", config)

    assert killed.matched == [undisturbed.matched[0]]
    assert resumed.matched == undisturbed.matched
    assert resumed.starts == undisturbed.starts
    assert [replace(r, seconds=0) for r in result.rounds] == [replace(r, seconds=0) for r in expected.rounds]
