"""Tables of the report, and the result files that they are made of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from metrics.rows import accuracy_of, median_rows
from page.results import provenance, read_results
from page.tables import OVERALL_COLUMNS, SET_COLUMNS, overall_tables, reference_of, set_tables
from report import write_report

from sfm.errors import InputError
from sfm.evaluation import GroundTruth
from tests.tools.report_rows import ROWS, SCORES, row, told, written


def test_overall_figures_are_over_what_is_comparable() -> None:
    rows = [*ROWS, row("only ours", "ours", **{**SCORES, "auc5": 10.0})]

    (table,) = overall_tables(median_rows(rows))

    ours, peer = (told(line) for line in table.lines)
    wanted = {"sets": "3", "photos registered": "30 of 30", "AUC@1": "50.0", "AUC@3": "70.0", "AUC@5": "85.0"}
    assert ours.items() >= {**wanted, "time": "0.25"}.items()
    wanted = {"photos registered": "10 of 20", "registered %, all its sets": "50.0", "registered %": "100.0"}
    wanted |= {"AUC@5": "70.0", "time": "1.00"}
    assert peer.items() >= wanted.items()
    assert table.num_scored == 1


def test_another_programs_result_is_no_truth_for_means() -> None:
    figures = {"rra5": 60.0, "ate_frobenius": 0.0123}
    pseudo = [replace(r, set="t", unmeasured_truth=True, **figures) for r in ROWS if r.set == "a"]

    measured, other = overall_tables(median_rows([*ROWS, *pseudo]))
    (*_, alone) = overall_tables(median_rows(pseudo))

    assert (measured.num_scored, told(measured.lines[0])["RRA@5"]) == (1, "\N{EN DASH}")
    assert (other.title, other.num_scored) == ("Against another program's result", 1)
    wanted = {"RRA@5": "60.0", "ATE / norm": "0.0123", "photos registered": "10 of 10", "AUC@5": "85.0"}
    assert told(other.lines[0]).items() >= wanted.items()
    assert told(alone.lines[0]) == told(other.lines[0])


def test_an_engine_that_lost_a_set_has_no_mean_of_errors_and_nothing_in_shares() -> None:
    figures = {**SCORES, "ate_normalised": 0.1}
    rows = [row(name, engine, **figures) for name in "ab" for engine in ("ours", "incremental")]
    rows[3] = row("b", "incremental", status="stopped after 9 s", registered=0, models=(), auc5=0.0)

    ours, peer = (told(line) for line in overall_tables(median_rows(rows))[0].lines)

    assert (ours["AUC@5"], ours["ATE / rms"]) == ("80.0", "0.1")
    assert (peer["AUC@5"], peer["ATE / rms"], peer["seconds"]) == ("40.0", "\N{EN DASH}", "\N{EN DASH}")


def test_a_figure_that_one_set_cannot_have_is_averaged_over_the_others(tmp_path: Path) -> None:
    """As the ATE of a set of two scenes; the title says over how many."""
    figures = {**SCORES, "ate_normalised": 0.1, "rra5": 90.0}
    rows = [row(name, engine, **figures) for name in "abc" for engine in ("ours", "incremental")]
    rows[4:] = [replace(r, ate_normalised=None) for r in rows[4:]]
    rows[3] = replace(rows[3], status="exit 1", registered=0, models=(), rra5=None, ate_normalised=None)

    (table,) = overall_tables(median_rows(rows))

    ours, peer = (told(line) for line in table.lines)
    counts = dict(zip(OVERALL_COLUMNS, table.counts, strict=True))
    assert (ours["ATE / rms"], counts["ATE / rms"]) == ("0.1", 2)
    assert (counts["RRA@5"], table.num_scored) == (None, 3)
    assert (ours["RRA@5"], peer["RRA@5"], peer["ATE / rms"]) == ("90.0", "60.0", "\N{EN DASH}")
    written(tmp_path / "r.json", tuple(rows))
    page = write_report(read_results([tmp_path / "r.json"]), tmp_path / "out").read_text()
    assert "ATE / rms<small>2 sets</small>" in page
    assert "ATE / rms (2 sets)" in (tmp_path / "out" / "results.md").read_text()


def test_registered_share_is_over_the_same_sets_as_the_other_means() -> None:
    rows = [row("a", engine, **SCORES) for engine in ("ours", "incremental")]
    rows += [row("no truth", engine, registered=5) for engine in ("ours", "incremental")]

    ours = told(overall_tables(median_rows(rows))[0].lines[0])

    assert (ours["registered %"], ours["registered %, all its sets"]) == ("100.0", "75.0")


def test_what_was_not_run_counts_nowhere_and_says_why() -> None:
    rows = [row(name, engine, **SCORES) for name in "ab" for engine in ("ours", "incremental")]
    reason = "not measured: the truth is COLMAP's own result on these photos"
    rows[3] = row("b", "incremental", status=reason, skipped=True, registered=0, models=())

    (table,) = overall_tables(median_rows(rows))
    lines = set_tables(median_rows(rows))[1].lines

    assert table.num_scored == 1
    assert told(table.lines[1]).items() >= {"sets": "1", "photos registered": "10 of 10"}.items()
    assert lines[1].note == reason
    assert overall_tables([rows[3]])[0].lines == ()
    assert {cell.text for cell in lines[1].cells} == {"\N{EN DASH}"}


def test_times_are_ratios_to_the_peer_at_its_defaults() -> None:
    peer = row("a", "incremental")
    changed = replace(peer, variant="sift.upright=true")

    assert reference_of([changed]) == "incremental (sift.upright=true), exhaustive"
    assert reference_of([changed, peer]) == "incremental, exhaustive"


def test_columns_without_any_figure_are_not_shown() -> None:
    with_truth, without = set_tables([row("a", "ours", **SCORES), row("b", "ours")])

    def shown(table) -> set[str]:
        return {SET_COLUMNS[i] for part in table.parts for i in part.columns}

    assert shown(with_truth) - shown(without) == {"AUC@1", "AUC@3", "AUC@5"}
    assert {"models", "registered", "seconds"} <= shown(without)


def test_metric_errors_wrong_models_and_binned_areas_are_shown_where_known(tmp_path: Path) -> None:
    figures = {**SCORES, "ate": 2.5, "ate_metres": 0.25, "wrong_model": 3, "maa30": 77.7}
    rows = (row("a", "ours", **figures), row("a", "incremental", **figures, seed=1))

    (with_all,) = set_tables(rows)
    (without,) = set_tables([row("a", "ours", **SCORES)])

    cells = told(with_all.lines[0], SET_COLUMNS)
    wanted = {"ATE": "2.5", "ATE m": "0.25", "wrong model": "3", "mAA(30)": "77.7"}
    assert cells.items() >= wanted.items()
    assert not wanted.keys() & {SET_COLUMNS[i] for part in without.parts for i in part.columns}
    overall = overall_tables(rows)[0].lines[0]
    assert told(overall).items() >= {"mAA(30)": "77.7", "ATE m": "0.25"}.items()


def test_of_a_run_in_two_files_the_last_one_counts(tmp_path: Path) -> None:
    first = written(tmp_path / "1.json")
    second = written(tmp_path / "2.json", (replace(ROWS[0], auc5=1.0),), commit="def")

    found = read_results([first, second])

    assert len(found.rows) == len(ROWS)
    assert found.rows[0].auc5 == 1.0
    assert dict(provenance(found))["commit"] == "abc; def"
    assert found.replaced == ("2.json replaces other figures: a, ours, seed 0 of 1.json",)
    assert dict(provenance(found))["replaced"] == found.replaced[0]


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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', '{"rows": [1]}'])
def test_a_file_without_results_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)

    with pytest.raises(InputError, match=r"r\.json holds no"):
        read_results([tmp_path / "r.json"])


def test_an_area_from_bins_takes_translations_of_either_sign() -> None:
    centres = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])

    def poses(sign: float) -> dict[str, pycolmap.Rigid3d]:
        return {f"{i}": pycolmap.Rigid3d(pycolmap.Rotation3d(), -sign * c) for i, c in enumerate(centres)}

    found = accuracy_of([poses(-1.0)], GroundTruth(poses(1.0), None, None))

    assert (found.auc30, found.maa30) == (0.0, 100.0)
