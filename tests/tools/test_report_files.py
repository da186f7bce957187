"""Result files: put together, and refused by key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from page.results import provenance, read_results

from sfm.errors import InputError
from tests.tools.report_rows import ROWS, written


def test_of_a_run_in_two_files_the_last_one_counts(tmp_path: Path) -> None:
    first = written(tmp_path / "1.json")
    second = written(tmp_path / "2.json", (replace(ROWS[0], auc5=1.0),), commit="def")

    found = read_results([first, second])

    assert len(found.rows) == len(ROWS)
    assert found.rows[0].auc5 == 1.0
    assert dict(provenance(found))["commit"] == "abc; def"
    assert found.replaced == ("2.json replaces other figures: a, ours, seed 0 of 1.json",)
    assert dict(provenance(found))["replaced"] == found.replaced[0]


def test_the_same_row_in_two_files_is_nothing_to_warn_of(tmp_path: Path) -> None:
    first = written(tmp_path / "1.json", (replace(ROWS[0], agreement=None, num_points=None),))
    second = written(tmp_path / "2.json", (replace(ROWS[0], agreement=90.0, num_points=12),))

    assert read_results([first, second]).replaced == ()


def test_ours_with_other_options_keeps_a_row_of_its_own(tmp_path: Path) -> None:
    """In files of before rows told their variant, too."""
    paths = []
    for backend in ("sift", "mast3r"):
        path = written(tmp_path / f"{backend}.json", (ROWS[0], ROWS[2]), options=[f"backend={backend}"])
        content = json.loads(path.read_text())
        for entry in content["rows"]:
            del entry["variant"]
        path.write_text(json.dumps(content))
        paths.append(path)

    found = read_results(paths)

    assert [r.name for r in found.rows] == ["ours (sift)", "incremental, exhaustive", "ours (mast3r)"]
    assert found.replaced == ()


def test_ablations_of_two_backends_keep_rows_of_their_own(tmp_path: Path) -> None:
    paths = []
    for backend in ("sift", "mast3r"):
        rows = (ROWS[0], replace(ROWS[0], choice="no-loop"))
        path = tmp_path / f"{backend}.json"
        paths.append(written(path, rows, bench="ablations", options=[f"backend={backend}"]))

    found = read_results(paths)

    names = ["ours (mast3r)", "ours (mast3r), no-loop", "ours (sift)", "ours (sift), no-loop"]
    assert [r.name for r in found.ablation_medians] == names
    assert found.replaced == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(bench="loop"), "holds no rows for this page: loop.py wrote it"),
        (lambda c: c["rows"][1].update(auc5="high"), r"rows\[1\]\.auc5: .*number"),
        (lambda c: c["rows"][0].update(models=7), r"rows\[0\]\.models: .*list.* found 7"),
        (lambda c: c["rows"][2].pop("status"), r"rows\[2\]\.status: .*required"),
        (lambda c: c["machine"].update(cores=["2"]), r"machine\.cores"),
        (lambda c: c.update(notes={"ours": {}}), r"notes\.ours: .*string"),
        (lambda c: c.update(bench=["peers"]), r"bench: .*string"),
        (lambda c: c["rows"][1].update(auc5=float("nan")), r"rows\[1\]\.auc5: a finite number"),
        (lambda c: c["rows"][0].update(photos=10**400), r"rows\[0\]\.photos: a finite number"),
        (
            lambda c: c["rows"][1].update(total_s=-1),
            r"rows\[1\]\.total_s: a figure is not negative, found -1",
        ),
        (lambda c: c["rows"][0]["curve"].__setitem__(3, float("nan")), r"rows\[0\]\.curve\[3\]: a finite"),
    ],
)
def test_a_malformed_file_is_refused_by_key(tmp_path: Path, change, message: str) -> None:
    content = json.loads(written(tmp_path / "r.json").read_text())
    change(content)
    (tmp_path / "r.json").write_text(json.dumps(content))

    with pytest.raises(InputError, match=rf"r\.json.*{message}"):
        read_results([tmp_path / "r.json"])


def test_of_a_machine_that_nobody_told_nothing_is_said(tmp_path: Path) -> None:
    results = read_results([written(tmp_path / "r.json", machine={})])

    assert "cores" not in dict(provenance(results))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', '{"rows": [1]}'])
def test_a_file_without_results_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)

    with pytest.raises(InputError, match=r"r\.json holds no"):
        read_results([tmp_path / "r.json"])
