"""Facades that look alike fold a town, unless pairs that contradict the others wait, or outvote the fold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from metrics.mapper_scores import read_models, score
from street_grid import Grid, make

from sfm.config.loading import load_config
from sfm.evaluation import load_ground_truth
from sfm.pipelines.map_database import map_database

NUM_VIEWS = 100


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    make(Grid.parse(f"grid-{NUM_VIEWS}-alike"), folder)
    return folder


@pytest.mark.parametrize(
    ("suspects", "second_opinion", "sound"),
    [("hold_back", True, True), ("hold_back", False, True), ("trust", True, True), ("trust", False, False)],
)
def test_holding_suspects_back_and_a_second_opinion_each_keep_the_town_from_folding(
    suspects: str,
    second_opinion: bool,
    sound: bool,
    grid: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["run.threads=2", "export.report=false", f"register.suspects={suspects}"]
    if not second_opinion:
        for stage in ("registrar", "refinement.final"):
            monkeypatch.setattr(f"sfm.mapping.{stage}.reconsidered", lambda *args: None)

    map_database(grid / "database.db", output=tmp_path, config=load_config(overrides=options))

    found = score(read_models(tmp_path), load_ground_truth(grid / "gt.json"))
    assert (found.right == NUM_VIEWS) is sound
    assert not sound or found.auc3 > 95
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    counts = [event for event in events if event["event"] == "suspects"]
    assert bool(counts) is (suspects == "hold_back")
    assert all(c["num_refused"] >= 0.5 * c["num_held_back"] > 0 for c in counts)
    moved = [event for event in events if event["event"] == "moved" and event["accepted"]]
    assert bool(moved) is (suspects == "trust" and second_opinion)
