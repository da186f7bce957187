"""The closed loop's bookkeeping: rounds, budget, and going on after a kill. Registration itself is faked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pycolmap
import pytest

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.backends import MatchReport
from sfm.closed_loop import LoopResult, run_closed_loop
from sfm.config.schema import RegisterConfig
from sfm.events import EventLog, EventSink, NullEvents, read_events
from sfm.mapping import MappingResult, ViewGraph

NAMES = tuple(f"{i}.jpg" for i in range(8))
CHAIN = SceneGraph(NAMES, {Pair(a, b): Edge(0.5, Reason.KNN) for a, b in pairwise(NAMES[:6])})


def model_of(count: int) -> pycolmap.Reconstruction:
    """A synthetic model in which the first `count` photos are registered under our names."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, count
    options.num_points3D = 20
    model = pycolmap.synthesize_dataset(options)
    for name, image_id in zip(NAMES, sorted(model.reg_image_ids()), strict=False):
        model.image(image_id).name = name
    return model


class Engine:
    """Stands in for matching and registration: each round that matches something registers one more photo."""

    def __init__(self) -> None:
        self.matched: list[set[Pair]] = []
        self.starts: list[int] = []
        self.verified = 1

    def reconstruct(self, start: Sequence[pycolmap.Reconstruction], events: EventSink) -> MappingResult:
        registered = start[0].num_reg_images() if start else 4
        self.starts.append(registered if start else 0)
        events.emit("register", "model", num_images=registered + bool(start))
        return MappingResult((model_of(registered + bool(start)),), self.view_graph())

    def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        self.matched.append(set(edges))
        return MatchReport(len(edges), 0, self.verified)

    def view_graph(self) -> ViewGraph:
        return ViewGraph(NAMES)

    def rank(self, name: str, count: int) -> list[tuple[str, float]]:
        others = [other for other in NAMES if other != name]
        return [(other, 1.0 - 0.01 * i) for i, other in enumerate(others)][:count]


def run(engine: Engine, folder: Path, config: RegisterConfig, events: EventSink | None = None) -> LoopResult:
    return run_closed_loop(
        CHAIN,
        folder=folder,
        reconstruct=engine.reconstruct,
        match=engine.match,
        read_view_graph=engine.view_graph,
        rank=engine.rank,
        config=config,
        events=events or NullEvents(),
    )


def test_rounds_continue_the_model_of_the_last(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(max_rounds=2))

    assert engine.starts == [0, 4, 5]
    assert [(r.registered_before, r.registered_after) for r in result.rounds] == [(4, 5), (5, 6)]
    assert result.models[0].num_reg_images() == 6


def test_no_pair_is_asked_for_twice(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(max_rounds=3))

    asked = [pair for pairs in engine.matched for pair in pairs]
    assert len(asked) == len(set(asked))
    assert not set(asked) & set(CHAIN.edges)
    assert len(result.scene_graph) == len(CHAIN) + len(asked)


def test_the_budget_is_kept(tmp_path: Path) -> None:
    engine = Engine()

    result = run(engine, tmp_path, RegisterConfig(max_pairs_per_photo=1.0))

    assert len(CHAIN) < len(result.scene_graph) <= len(NAMES)


def test_without_rounds_nothing_is_asked(tmp_path: Path) -> None:
    engine = Engine()

    assert run(engine, tmp_path, RegisterConfig(max_rounds=0)).rounds == ()
    assert engine.matched == []


def test_a_round_that_verifies_nothing_does_not_register_again(tmp_path: Path) -> None:
    engine = Engine()
    engine.verified = 0

    run(engine, tmp_path, RegisterConfig(max_rounds=4))

    assert engine.starts == [0]


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

    assert killed.matched == resumed.matched == undisturbed.matched
    assert resumed.starts == [4]
    assert [replace(r, seconds=0) for r in result.rounds] == [replace(r, seconds=0) for r in expected.rounds]
