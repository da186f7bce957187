"""The page of results: what was measured and what others published stand apart, and nothing is fetched."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import yaml
from agreement_notes import agreement_notes
from charts import Axis, Point, dot_chart, styles
from layouts import DATASETS
from layouts.registry import listed_scenes
from novel_views import ViewRow
from photo_sets import set_name
from published import PUBLISHED, counterparts, read_published
from report import main, write_report
from report_tables import OVERALL_COLUMNS, SET_COLUMNS, overall_tables, reference_of, set_tables
from results import provenance, read_results
from rows import CURVE_STEPS, Row, accuracy_of, median_rows

from sfm.errors import InputError
from sfm.evaluation import GroundTruth

CURVE = tuple(float(i) for i in range(CURVE_STEPS))
SCORES = {"auc1": 50.0, "auc3": 70.0, "auc5": 80.0, "curve": CURVE}


def row(name: str, engine: str, seed: int = 0, **more: object) -> Row:
    choice = "own" if engine == "ours" else "exhaustive"
    values = {
        "photos": 10,
        "registered": 10,
        "models": (10,),
        "pairs": 45,
        "pairs_share": 1.0,
        "total_s": 8.0,
    }
    return Row(set=name, engine=engine, choice=choice, seed=seed, **{"status": "ok", **values, **more})


ROWS = (
    row("a", "ours", **SCORES, total_s=2.0),
    row("a", "ours", seed=1, **{**SCORES, "auc5": 90.0}, total_s=2.0),
    row("a", "incremental", **{**SCORES, "auc5": 70.0}),
    row("<b>", "ours"),
    row("<b>", "incremental", status="exit 1: <script>", registered=0, models=(), photos=10),
)


def written(path: Path, rows: tuple[Row, ...] = ROWS, **more: object) -> Path:
    machine = {"processor": "a processor", "platform": "Linux", "cores": 2, "threads": 2}
    content = {
        "machine": machine,
        "commit": "abc",
        "command": "python peers.py",
        "date": "2026-01-01",
        **more,
    }
    path.write_text(json.dumps({**content, "rows": [asdict(r) for r in rows]}))
    return path


@pytest.fixture
def page(tmp_path: Path) -> str:
    return write_report(read_results([written(tmp_path / "r.json")]), tmp_path / "out").read_text()


def test_the_page_needs_no_network_and_escapes_what_engines_say(page: str) -> None:
    assert not re.search(r"(?:src|href)=[\"']?(?!#)\w", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page
    assert "exit 1: &lt;script&gt;" in page
    assert "&lt;b&gt;" in page


def test_the_page_tells_machine_commit_command_date_and_seeds(page: str) -> None:
    for told in ("a processor", "2, each run had 2 threads", "abc", "python peers.py", "2026-01-01", "0, 1"):
        assert told in page


def test_published_figures_stand_in_their_own_section_only(page: str) -> None:
    measured, published = page.split('<section id="published">')

    assert "GLUEMAP" not in measured
    assert "not measured here" in published
    assert "arXiv 2605.26103" in published
    assert "measured here</span></td>" not in published


def test_a_curve_and_a_spread_are_drawn(page: str) -> None:
    assert page.count('class="line ') == 2
    assert "80.0\N{EN DASH}90.0" in page


def test_the_other_files_hold_the_same(tmp_path: Path, page: str) -> None:
    table = (tmp_path / "out" / "results.md").read_text()
    content = json.loads((tmp_path / "out" / "results.json").read_text())

    assert re.search(r"\| a +\| 10 +\| against measured truth .*\| ours +\| 10 .*\*\*85\.0\*\*", table)
    assert len(content["measured"]["rows"]) == len(ROWS)
    assert content["published"][0]["confidence"] == "read"


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


def told(line, columns=OVERALL_COLUMNS) -> dict[str, str]:
    return {title: cell.text for title, cell in zip(columns, line.cells, strict=True)}


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


def test_no_part_of_a_table_is_wider_than_a_page() -> None:
    """Seventeen columns fit 1300 pixels with spreads, as a browser shows."""
    numbers = {field.name: 1 for field in fields(Row) if field.type in ("Number", "int | None", "float")}
    rows = [row("a", engine, **{**numbers, "photos": 2}) for engine in ("ours", "incremental")]

    tables = (*set_tables(rows), *overall_tables(rows))

    shown = [len(part.columns) for table in tables for part in table.parts]
    assert sum(shown[:2]) == len(SET_COLUMNS)
    assert sum(shown[2:]) == len(OVERALL_COLUMNS)
    assert max(shown) <= 17


def test_figures_that_look_equal_have_no_best() -> None:
    rows = [row("a", "ours", auc5=80.01), row("a", "incremental", auc5=80.02)]

    (table,) = set_tables(median_rows(rows))

    assert not any(cell.best for line in table.lines for cell in line.cells)


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


def test_which_engines_were_compared_is_told_where_they_come_from_several_files(tmp_path: Path) -> None:
    """Poses of two files were never side by side; the engine that is alone in its file has no agreement."""
    both = tuple(replace(r, agreement=95.0) for r in ROWS if r.set == "a")
    other = (replace(both[0], variant="mast3r", agreement=None),)
    paths = [written(tmp_path / "1.json", both), written(tmp_path / "2.json", other)]

    results = read_results(paths)
    page = write_report(results, tmp_path / "out").read_text()

    note = agreement_notes(results)["a"]
    assert "“ours”, “incremental, exhaustive” in one;" in note
    assert "“ours (mast3r)” without any" in note
    assert note in page
    assert note in (tmp_path / "out" / "results.md").read_text()
    assert agreement_notes(read_results(paths[:1])) == {}


def test_a_replaced_row_is_told_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = written(tmp_path / "1.json"), written(tmp_path / "2.json", (replace(ROWS[0], auc5=1.0),))
    monkeypatch.setattr("sys.argv", ["report.py", str(first), str(second), "--out", str(tmp_path / "out")])

    main()

    assert "warning: 2.json replaces other figures: a, ours" in capsys.readouterr().err
    assert "2.json replaces other figures" in (tmp_path / "out" / "index.html").read_text()


def test_a_refusal_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["report.py", str(tmp_path / "no.json"), "--out", str(tmp_path / "out")])

    with pytest.raises(SystemExit, match=r"no\.json.*peers\.py --out"):
        main()


VIEW = ViewRow(
    set="fox", engine="ours", seed=0, held=6, localised=5, centre_percent=0.25, psnr_note="no CUDA"
)


def test_held_out_photos_have_a_section_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "views.json"
    path.write_text(json.dumps({"bench": "novel_views", "rows": [asdict(VIEW)]}))

    results = read_results([path, written(tmp_path / "r.json")])
    page = write_report(results, tmp_path / "out").read_text()
    alone = write_report(read_results([path]), tmp_path / "alone").read_text()

    assert "5 of 6" in page.split('<section id="views">')[1]
    assert "| fox  | ours    | 5 of 6" in (tmp_path / "out" / "results.md").read_text()
    assert "<h1>1 photo set, 1 engine</h1>" in alone
    assert '<section id="sets">' not in alone


def test_the_page_tells_psnr_with_its_photos_and_failed_seeds(tmp_path: Path) -> None:
    """And options of ours that only the head of an older file tells."""
    seeds = [
        replace(VIEW, seed=i, psnr=25.0, psnr_photos=5, common_psnr=24.5, common_photos=4) for i in range(3)
    ]
    rows = [asdict(view) for view in (*seeds[:2], replace(VIEW, seed=2, status="no model"))]
    for content in rows:
        del content["variant"]
    path = tmp_path / "views.json"
    path.write_text(json.dumps({"bench": "novel_views", "options": ["backend=mast3r"], "rows": rows}))

    write_report(read_results([path]), tmp_path / "out")

    section = (tmp_path / "out" / "index.html").read_text().split('<section id="views">')[1]
    for told_so in ("25.00 (5)", "24.50 (4)", "ours (mast3r)", "ok, 1 of 3 failed"):
        assert told_so in section
        assert told_so in (tmp_path / "out" / "results.md").read_text()


def test_ablations_have_a_section_of_their_own(tmp_path: Path) -> None:
    """Beside the whole engine of their own file, and in no other table."""
    without = replace(ROWS[0], choice="no-loop", auc5=50.0, total_s=1.0)
    more = {"bench": "ablations", "notes": {"no-loop": "No photo asks for more."}}
    path = written(tmp_path / "ablations.json", (without, ROWS[0]), **more)

    results = read_results([written(tmp_path / "r.json"), path])
    page = write_report(results, tmp_path / "out").read_text()
    alone = write_report(read_results([path]), tmp_path / "alone").read_text()

    section = page.split('<section id="ablations">')[1].split("</section>")[0]
    assert section.index(">none<") < section.index(">no-loop<")
    assert "50.0 (-30.0)" in section
    assert ">0.50<" in section
    assert "no-loop" not in page.split('<section id="ablations">')[0].split('<section id="sets">')[1]
    assert "ablation no-loop" in page
    assert "No photo asks for more." in page
    assert "50.0 (-30.0)" in (tmp_path / "out" / "results.md").read_text()
    assert "<h1>1 photo set, 1 engine</h1>" in alone
    assert results.replaced == ()


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
        (lambda c: c.update(machine=[]), r"machine: .*dictionary"),
        (lambda c: c["machine"].update(cores=["2"]), r"machine\.cores"),
        (lambda c: c.update(options={}), r"options: .*list"),
        (lambda c: c.update(command=["a"]), r"command: .*string"),
        (lambda c: c.update(commit=7), r"commit: .*string"),
        (lambda c: c.update(versions={"python": 3}), r"versions\.python: .*string"),
        (lambda c: c.update(notes={"ours": {}}), r"notes\.ours: .*string"),
        (lambda c: c.update(bench=["peers"]), r"bench: .*string"),
        (lambda c: c["rows"][1].update(auc5=float("nan")), r"rows\[1\]\.auc5: a finite number"),
        (lambda c: c["rows"][0].update(total_s=float("inf")), r"rows\[0\]\.total_s: a finite number"),
        (lambda c: c["rows"][0].update(photos=10**400), r"rows\[0\]\.photos: a finite number"),
        (lambda c: c["rows"][0].update(cpu_s=1e308), r"rows\[0\]\.cpu_s: a finite number"),
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


def test_a_report_in_place_of_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, taken = written(tmp_path / "r.json"), tmp_path / "report"
    taken.write_text("a file")
    monkeypatch.setattr("sys.argv", ["report.py", str(results), "--out", str(taken)])

    with pytest.raises(SystemExit, match=r"error: .*report cannot be written.*--out names a folder"):
        main()
    assert taken.read_text() == "a file"


def test_a_message_with_a_name_that_is_no_unicode_is_written(tmp_path: Path) -> None:
    rows = (row("a", "ours", status="no photo \udce4.jpg"),)

    page = write_report(read_results([written(tmp_path / "r.json", rows)]), tmp_path / "out")

    assert "no photo \\udce4.jpg" in page.read_text()


def test_of_a_machine_that_nobody_told_nothing_is_said(tmp_path: Path) -> None:
    results = read_results([written(tmp_path / "r.json", machine={})])

    assert "cores" not in dict(provenance(results))


def test_markdown_tells_status_truth_spread_and_notes(tmp_path: Path, page: str) -> None:
    table = (tmp_path / "out" / "results.md").read_text()

    assert re.search(
        r"\| a .*against measured truth +\| ours .*\*\*85\.0\*\* \[80\.0\N{EN DASH}90\.0\].*\| ok +\|", table
    )
    assert re.search(r"\| <b> .*no truth.*\| incremental, .*\| exit 1: <script> +\|", table)
    for published in (t for t in read_published() if t.note):
        assert f"Note: {published.note}." in table


def test_a_failures_reason_has_a_row_of_its_own(page: str) -> None:
    assert re.search(r'<tr class="why"><td colspan="\d+">exit 1: &lt;script&gt;</td></tr>', page)


def test_dots_at_one_place_are_all_seen() -> None:
    names = [f"engine {i}" for i in range(10)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))

    chart = dot_chart("", "", axes, {name: [Point(50, 50)] for name in names}, styles(names))

    dots = [dot for series in chart.series for dot in series.dots]
    apart = [np.hypot(a.x - b.x, a.y - b.y) for i, a in enumerate(dots) for b in dots[:i]]
    assert min(apart) > 4
    assert max(apart) < 30


def test_dots_in_a_corner_stay_there_and_within_the_plot() -> None:
    """As where five engines register all photos of eighteen sets with nearly all pairs."""
    corner = [Point(100 - i / 9, 100 - i % 3, f"set {i}") for i in range(18)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))
    names = [f"engine {i}" for i in range(5)]

    chart = dot_chart("", "", axes, dict.fromkeys(names, corner), styles(names))

    for series in chart.series:
        assert len(series.dots) == len(corner)
        for dot, place in zip(series.dots, corner, strict=True):
            x = chart.left + place.x / 100 * (chart.right - chart.left)
            y = chart.bottom - place.y / 100 * (chart.bottom - chart.top)
            assert np.hypot(dot.x - x, dot.y - y) < 8.2
            assert chart.left <= dot.x <= chart.right
            assert chart.top <= dot.y <= chart.bottom


def test_an_engines_dots_at_one_place_are_one_that_tells_all() -> None:
    names = [f"engine {i}" for i in range(5)]
    points = [Point(100, 100, f"set {i}") for i in range(18)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))

    chart = dot_chart("", "", axes, dict.fromkeys(names, points), styles(names))

    dots = [dot for series in chart.series for dot in series.dots]
    assert len(dots) == len(names)
    assert min(np.hypot(a.x - b.x, a.y - b.y) for i, a in enumerate(dots) for b in dots[:i]) > 4
    assert dots[-1].text.startswith("18 at one place:")
    assert all(point.text in dots[-1].text for point in points)


def test_no_two_of_many_engines_look_alike() -> None:
    looks = styles([str(i) for i in range(24)])

    assert len({(style.hue, style.dash, style.mark) for style in looks.values()}) == 24


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', '{"rows": [1]}'])
def test_a_file_without_results_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)

    with pytest.raises(InputError, match=r"r\.json holds no"):
        read_results([tmp_path / "r.json"])


def test_means_stand_beside_published_ones_only_when_all_sets_were_measured() -> None:
    table = next(t for t in read_published() if t.id == "eth3d")
    rows = [
        row(name, "ours", **{**SCORES, "auc1": float(i)}) for i, name in enumerate(eth3d_sets("training"))
    ]

    assert counterparts(table, rows[:12]) == ()
    (mine,) = counterparts(table, rows)
    assert mine.values == (6.0, 70.0, 80.0)


def eth3d_sets(group: str, *, dataset: str = "eth3d", subset: str = "") -> list[str]:
    return [set_name(dataset, scene, subset) for scene in listed_scenes(DATASETS["eth3d"], group)]


def test_sets_of_other_protocols_are_no_counterpart() -> None:
    """Other variants and subsets of the same scenes; further scenes beside those of the protocol."""
    table = next(t for t in read_published() if t.id == "eth3d")
    others = [
        eth3d_sets("training", dataset="eth3d-distorted"),
        eth3d_sets("training", subset="10"),
        eth3d_sets("test")[:12],
    ]

    for names in others:
        assert counterparts(table, [row(name, "ours", **{**SCORES, "auc1": 0.0}) for name in names]) == ()
    everything = [row(name, "ours", **SCORES) for name in eth3d_sets("all")]
    everything += [row(name, "ours", **{**SCORES, "auc1": 0.0}) for name in others[0]]
    (mine,) = counterparts(table, everything)
    assert mine.values == (50.0, 70.0, 80.0)


def table_of(name: str):
    return next(t for t in read_published() if t.id == name)


def test_each_column_has_the_sets_of_its_own_subset_beside_it() -> None:
    """As ATE by the number of photos; a subset that was not measured on all scenes stays empty."""
    scenes = listed_scenes(DATASETS["tanks_and_temples"], "all")
    names = [set_name("tanks_and_temples", scene, "25") for scene in scenes]
    names += [set_name("tanks_and_temples", scene, "50") for scene in scenes[1:]]
    rows = [row(name, "ours", ate_frobenius=0.02, registered=5) for name in names]

    (mine,) = counterparts(table_of("tanks-views"), rows)

    assert mine.values == (pytest.approx(0.02), 50.0, *[None] * 8)


@pytest.mark.parametrize(
    ("table", "names", "others"),
    [
        (
            "co3d",
            ("co3d-apple-110_1_2@seed0", "co3d-tv-5_6_7@seed0"),
            ("co3d-ball-1_2_3@seed0", "co3d-apple-110_1_2@seed1", "co3d-apple-110_1_2"),
        ),
        (
            "realestate10k",
            ("realestate10k-a1@seed0", "realestate10k-b2@seed0"),
            ("realestate10k-a1@50", "realestate10k-a1", "a1@seed0"),
        ),
    ],
)
def test_of_datasets_without_a_list_the_number_of_sets_is_told(
    table: str, names: tuple[str, ...], others: tuple[str, ...]
) -> None:
    """Over those that every engine ran on, and none of another protocol."""
    figures = {"rra15": 90.0, "rta15": 80.0, "maa30": 70.0}
    rows = [row(name, engine, **figures) for name in names for engine in ("ours", "incremental")]
    rows += [row(name, "ours", rra15=0.0, rta15=0.0, maa30=0.0) for name in others]
    alone = row(names[0].replace("1", "9"), "ours", rra15=0.0, rta15=0.0, maa30=0.0)

    ours, peer = counterparts(table_of(table), [*rows, alone])

    assert ours.method == "ours, over 2 sets"
    assert peer.method == "incremental, exhaustive, over 2 sets"
    assert ours.values == peer.values
    assert ours.values[-1] == 70.0
    assert counterparts(table_of(table), [row(name, "ours", **figures) for name in others]) == ()


def test_an_area_from_bins_takes_translations_of_either_sign() -> None:
    centres = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])

    def poses(sign: float) -> dict[str, pycolmap.Rigid3d]:
        return {f"{i}": pycolmap.Rigid3d(pycolmap.Rotation3d(), -sign * c) for i, c in enumerate(centres)}

    found = accuracy_of([poses(-1.0)], GroundTruth(poses(1.0), None, None))

    assert (found.auc30, found.maa30) == (0.0, 100.0)


def test_published_shares_stand_beside_errors_that_leave_photos_out() -> None:
    tables = [t for t in read_published() if any("ATE" in column for column in t.columns)]

    assert len(tables) >= 3
    for table in tables:
        ates = sum("ATE" in column for column in table.columns)
        assert sum("registered %" in column for column in table.columns) == ates, table.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("source"), r"tables\[0\]\.source: .*required"),
        (lambda t: t.update(confidence="sure"), r"tables\[0\]\.confidence: "),
        (lambda t: t["rows"][0]["values"].pop(), "GLOMAP . SIFT: 2 values for 3 columns"),
        (lambda t: t["rows"][0]["values"].__setitem__(0, float("nan")), "finite"),
        (lambda t: t["measured"][0].update(figures=["auc1", "auc2", None]), "no such figure: auc2"),
        (lambda t: t["measured"][0].update(group="train"), "no list of scenes has eth3d:train"),
        (lambda t: t["measured"][0].update(dataset="eth"), "no list of scenes has eth:training"),
        (lambda t: t["measured"][0].update(sets="eth3d-*"), r"tables\[0\]\.measured\[0\]\.sets: Unexpected"),
        (lambda t: t.update(url="x"), r"tables\[0\]\.url: Unexpected"),
    ],
)
def test_malformed_published_figures_are_refused_by_name(tmp_path: Path, change, message: str) -> None:
    content = yaml.safe_load(PUBLISHED.read_text())
    change(content["tables"][0])
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(content))

    with pytest.raises(InputError, match=message):
        read_published(path)


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 100), [0, 20, 40, 60, 80, 100]),
        (Axis("", 0.1, 10, True), [0.1, 0.2, 0.5, 1, 2, 5, 10]),
        (Axis("", 5, 50000, True), [10, 100, 1000, 10000]),
        (Axis.around("", [3.0]), [0, 1, 2, 3]),
    ],
)
def test_ticks_are_round(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)
    assert all(-1e-9 <= axis.share(tick) <= 1 + 1e-9 for tick in ticks)
