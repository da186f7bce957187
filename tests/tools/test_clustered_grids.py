"""Towns mapped in clusters come out as in one piece, measured against the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from metrics.mapper_scores import Scores, read_models, score
from street_grid import Grid, make

from sfm.config.loading import load_config
from sfm.evaluation import load_ground_truth
from sfm.pipelines.map_database import map_database


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    make(Grid.parse("grid-150"), folder)
    return folder


def mapped(grid: Path, out: Path, options: Mapping[str, object]) -> Scores:
    own = {"run.threads": 2, "export.report": "false", **options}
    config = load_config(overrides=[f"{key}={value}" for key, value in own.items()])
    map_database(grid / "database.db", output=out, config=config)
    return score(read_models(out), load_ground_truth(grid / "gt.json"))


@pytest.mark.slow
def test_clusters_of_a_town_give_the_model_of_one_process(grid: Path, tmp_path: Path) -> None:
    alone = mapped(grid, tmp_path / "alone", {"register.processes": 1})

    joined = mapped(
        grid, tmp_path / "joined", {"register.processes": 2, "internal.register.cluster_size": 60}
    )

    text = (tmp_path / "joined" / "events.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    assert sum(event["event"] == "cluster" for event in events) >= 2
    assert joined.right == alone.right == 150
    assert joined.auc1 == pytest.approx(alone.auc1, abs=0.2)
    assert joined.auc3 == pytest.approx(alone.auc3, abs=0.2)
    assert joined.auc5 == pytest.approx(alone.auc5, abs=0.2)
    assert (joined.ate or 1) <= 1.05 * (alone.ate or 0)
