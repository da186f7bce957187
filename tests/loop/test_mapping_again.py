"""When all pairs are there, photos are mapped once more from nothing, where that loses none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pycolmap
import pytest

from sfm.config.schema import RegisterConfig
from sfm.events import HeldEvents
from sfm.loop.mapping_again import mapped_again
from tests.loop.stand_in import Engine, model_of, run

CONFIG = RegisterConfig(max_rounds=3, pairs_per_photo=20.0, max_pairs_per_photo=20.0)


class Grown(Engine):
    """From nothing, `from_nothing` photos are registered once there are models, four before."""

    def __init__(self, from_nothing: int) -> None:
        super().__init__()
        self.from_nothing = from_nothing

    def grown(self, start: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
        if not start and self.starts:
            self.starts.append(0)
            return (model_of(self.from_nothing),)
        return super().grown(start)


class Recorder:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def emit(self, stage: str, event: str, **fields: object) -> None:
        if event == "model":
            self.seen.append(fields["num_images"])


def test_models_are_made_from_nothing_when_no_pairs_are_left_to_ask_for(tmp_path: Path) -> None:
    engine, events = Grown(8), Recorder()

    result = run(engine, tmp_path, CONFIG, events)

    assert engine.starts.count(0) == 2
    assert engine.starts[-1] == 0
    assert result.models[0].num_reg_images() == 8
    assert result.rounds[-1].matched == 0
    assert events.seen[-1] == 8


def test_a_model_that_loses_photos_is_forgotten(tmp_path: Path) -> None:
    engine, events = Grown(5), Recorder()

    result = run(engine, tmp_path, CONFIG, events)

    assert engine.starts[-1] == 0
    assert result.models[0].num_reg_images() == max(count for count in engine.starts if count) + 1
    assert 5 not in events.seen[-1:]


def test_it_is_not_done_for_a_few_more_pairs(tmp_path: Path) -> None:
    engine = Grown(8)
    engine.verifies = False

    run(engine, tmp_path, CONFIG)

    assert engine.starts.count(0) == 1


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [([5], [6], True), ([5], [5], True), ([5], [4], False), ([6, 2], [6], True), ([5], [5, 2], False)],
)
def test_new_models_stay_where_they_hold_as_many_photos_together(
    before: list[int], after: list[int], changes: bool
) -> None:
    old, new = [model_of(count) for count in before], [model_of(count) for count in after]
    heard = HeldEvents()

    chosen = mapped_again(old, lambda events: new, heard)

    assert chosen is (new if changes else old)
