"""Ablations: files that are configurations, each beside the whole engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from ablations import all_ablations, chosen_ablations, read_ablation, render
from metrics.rows import Row, median_rows

from sfm.config.loading import load_config
from sfm.errors import ConfigError


def test_each_ablation_is_a_configuration_that_differs_and_says_how() -> None:
    found = all_ablations()

    assert {"no-loop", "no-depth-lifting", "no-cycle-filter", "naive-tracks", "codebook-256"} <= {
        a.name for a in found
    }
    for ablation in found:
        assert len(ablation.says) > 10
        assert load_config(overrides=ablation.options) != load_config()


def test_options_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# Says.\nregister: {max_rounds: 0}\ninternal:\n  mast3r: {tracks: naive}\n")

    ablation = read_ablation(path)

    assert ablation.options == ("register.max_rounds=0", "internal.mast3r.tracks=naive")
    assert load_config(overrides=ablation.options) == load_config(path)
    assert (ablation.says, ablation.is_dense) == ("Says.", False)


def test_a_misspelt_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("register: {max_round: 0}\n")

    with pytest.raises(ConfigError, match="max_round"):
        read_ablation(path)


def test_those_of_the_dense_backend_are_skipped_without_it() -> None:
    names = ["no-loop", "naive-tracks"]

    with_sift, skipped = chosen_ablations(names, dense=False)
    with_dense, none = chosen_ablations(names, dense=True)

    assert ([a.name for a in with_sift], len(skipped)) == (["no-loop"], 1)
    assert "backend=mast3r" in skipped[0]
    assert ([a.name for a in with_dense], none) == (names, [])
    with pytest.raises(ValueError, match="no ablation x"):
        chosen_ablations(["x"], dense=False)


def test_the_table_shows_what_an_ablation_costs() -> None:
    whole = Row(
        set="s", engine="ours", seed=0, status="ok", registered=10, auc5=90.0, cpu_s=20.0, total_s=10.0
    )
    without = Row(
        set="s", engine="ours", choice="no-loop", seed=0, status="ok", registered=8, auc5=60.0, cpu_s=5.0
    )

    _, first, second = render(median_rows([whole, without])).splitlines()

    assert first.split()[:3] == ["s", "none", "10"]
    assert "8 (-2)" in second
    assert "60.0 (-30.0)" in second
    assert "0.25" in second


def test_an_ablation_without_the_whole_engine_has_no_difference() -> None:
    without = Row(set="s", engine="ours", choice="no-loop", seed=0, status="ok", registered=8, auc5=60.0)

    line = render(median_rows([without])).splitlines()[1]

    assert "60.0" in line
    assert "(" not in line
