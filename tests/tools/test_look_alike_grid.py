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
    ("deferred", "relocation", "sound"),
    [("defer", True, True), ("defer", False, True), ("trust", True, True), ("trust", False, False)],
)
def test_deferring_pairs_and_relocating_parts_each_keep_the_town_from_folding(
    deferred: str,
    relocation: bool,
    sound: bool,
    grid: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["run.threads=2", "export.report=false", f"register.inconsistent_pairs={deferred}"]
    if not relocation:
        for stage in ("registrar", "refinement.final_refinement"):
            monkeypatch.setattr(f"sfm.mapping.{stage}.relocate_parts", lambda *args: None)

    map_database(grid / "database.db", output=tmp_path, config=load_config(overrides=options))

    found = score(read_models(tmp_path), load_ground_truth(grid / "gt.json"))
    assert (found.right == NUM_VIEWS) is sound
    assert not sound or found.auc3 > 95
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    counts = [event for event in events if event["event"] == "deferred_pairs"]
    assert bool(counts) is (deferred == "defer")
    assert all(c["num_refused"] >= 0.5 * c["num_deferred"] > 0 for c in counts)
    moved = [event for event in events if event["event"] == "relocated" and event["accepted"]]
    assert bool(moved) is (deferred == "trust" and relocation)
