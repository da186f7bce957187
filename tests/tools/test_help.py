"""What `--help` of the benches tells: how sets are named, what is taken where nothing is said."""

from __future__ import annotations

import importlib
import sys

import pytest


def run(monkeypatch, capsys, bench: str, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", [f"{bench}.py", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        importlib.import_module(bench).main()
    captured = capsys.readouterr()
    return end.value.code, captured.out + captured.err


@pytest.mark.parametrize("bench", ["peers", "ablations", "novel_views", "loop"])
def test_help_tells_groups_subsets_folders_and_defaults(bench, monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, bench, "--help")

    assert code == 0
    for words in ("eth3d:training", "Barn@50", "@seed1", "@FILE", "@DIR", "$LOOPSFM_DATASETS", "(default: "):
        assert words in text
    assert "{sets}" not in text
    assert "SET-photos.txt" in text


def test_the_folder_of_datasets_is_told_by_the_command_that_checks_it(monkeypatch, capsys):
    assert (
        "$LOOPSFM_DATASETS, or else ~/datasets" in run(monkeypatch, capsys, "datasets", "check", "--help")[1]
    )


def test_ablations_refuse_mappers_which_they_never_run(monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, "ablations", "fox", "--mappers", "global")

    assert code == 2
    assert "unrecognized arguments: --mappers" in text


@pytest.mark.parametrize("bench", ["peers", "ablations", "novel_views", "loop"])
def test_benches_name_the_set_that_is_not_there(bench, monkeypatch, capsys, tmp_path):
    code, _ = run(monkeypatch, capsys, bench, "eth3d:training", "--datasets", str(tmp_path))

    assert str(tmp_path / "eth3d") in code
    assert "get it from https://www.eth3d.net" in code
