"""Pairs that memory does not suffice for: the user is told so, and the same command again tries them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

import sfm
from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.diagnosis.explain import explain
from sfm.mast3r.network.predictor import EncodedPhoto
from sfm.mast3r.oracle.oracle import OraclePredictor


@dataclass
class Memory:
    """What the network's machine has room for."""

    refused: frozenset[str] = frozenset()
    """Photos whose pairs are too much."""
    pairs: list[frozenset[str]] = field(default_factory=list)
    """Inferred so far, one direction each."""


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    state, decode = Memory(), OraclePredictor.decode

    def limited(
        self: OraclePredictor, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]
    ) -> object:
        pairs = [frozenset((a.name, b.name)) for a, b in zip(first, second, strict=True)]
        if any(pair & state.refused for pair in pairs):
            raise torch.OutOfMemoryError("CUDA out of memory")
        state.pairs += pairs
        return decode(self, first, second)

    monkeypatch.setattr(OraclePredictor, "decode", limited)
    return state


@pytest.fixture
def config(scene: Path) -> Config:
    words = ["backend=mast3r", "mast3r.image_size=64", f"internal.mast3r.oracle={scene}", "run.threads=1"]
    return load_config(None, overrides=words)


def test_what_failed_for_want_of_memory_is_told_and_the_same_command_again_tries_only_that(
    scene: Path, config: Config, memory: Memory, tmp_path: Path
) -> None:
    photos, out, lost = scene / "images", tmp_path / "out", "photo_03.jpg"
    names = frozenset(path.name for path in photos.iterdir())
    memory.refused = names

    poor = sfm.run(photos, output=out, config=config)

    assert poor.run.status == "no_model"
    assert poor.run.pairs.failed == len(names) * (len(names) - 1) // 2
    for told in (poor.run.message, poor.summary(), (out / "report.html").read_text()):
        assert "out of memory" in told
        assert "once more" in told
    assert "overlap" not in poor.run.message
    story = explain(out, min(names))
    assert f"{len(names) - 1} failed" in story
    assert "too little overlap" not in story
    assert "run the same command again" in story

    config = replace(config, export=replace(config.export, report=False))
    memory.refused = frozenset([lost])
    better = sfm.run(photos, output=out, config=config)

    assert better.run.photos.registered == len(names) - 1
    assert f"{len(names) - 1} pairs could not be matched: out of memory" in better.run.message
    (outcome,) = (outcome for outcome in better.outcomes if outcome.name == lost)
    assert "out of memory" in outcome.reason

    memory.refused = frozenset()
    memory.pairs.clear()
    rich = sfm.run(photos, output=out, config=config)

    assert rich.run.photos.registered == len(names)
    assert rich.run.pairs.failed == 0
    assert "out of memory" not in rich.run.message + rich.summary()
    assert memory.pairs
    assert all(lost in pair for pair in memory.pairs)
    memory.pairs.clear()
    again = sfm.run(photos, output=out, config=config)
    assert memory.pairs == []
    assert again.run.photos.registered == len(names)


def test_what_an_alignment_goes_without_is_told_and_tried_again(
    scene: Path, config: Config, memory: Memory, tmp_path: Path
) -> None:
    photos, out, lost = scene / "images", tmp_path / "out", "photo_03.jpg"
    count = len(list(photos.iterdir()))
    config = replace(config, register=replace(config.register, mapper="dense-alignment"))
    assert sfm.run(photos, output=out, config=config).run.photos.registered == count
    # Matches are kept, so that memory lacks for the pointmaps of the alignment alone.
    config = replace(config, run=replace(config.run, seed=1))
    memory.refused = frozenset([lost])

    poor = sfm.run(photos, output=out, config=config)

    assert poor.run.photos.registered == count - 1
    assert poor.run.pairs.failed == count - 1
    for told in (poor.run.message, poor.summary(), (out / "report.html").read_text()):
        assert f"{count - 1} pairs could not be matched: out of memory" in told
    (outcome,) = (outcome for outcome in poor.outcomes if outcome.name == lost)
    assert "out of memory" in outcome.reason

    memory.refused = frozenset()
    rich = sfm.run(photos, output=out, config=config)

    assert rich.run.photos.registered == count
    assert rich.run.pairs.failed == 0
    memory.pairs.clear()
    assert sfm.run(photos, output=out, config=config).run.photos.registered == count
    assert memory.pairs == []
