"""The page of results: what was measured and what others published stand apart, and nothing is fetched."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from charts import Axis
from layouts import DATASETS
from layouts.registry import listed_scenes
from photo_sets import set_name
from published import PUBLISHED, counterparts, read_published
from report import provenance, read_results, write_report
from report_tables import num_scored, overall_lines, set_tables
from rows import CURVE_STEPS, Row, median_rows

from sfm.errors import InputError

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
    for told in ("a processor", "2, of which each run had 2", "abc", "python peers.py", "2026-01-01", "0, 1"):
        assert told in page


def test_published_figures_stand_in_their_own_section_only(page: str) -> None:
    measured, published = page.split('<section id="published">')

    assert "GLUEMAP" not in measured
    assert "not measured here" in published
    assert "arXiv 2605.26103" in published
    assert "measured here</span></td>" not in published


def test_a_curve_and_a_spread_are_drawn(page: str) -> None:
    assert page.count('class="line"') == 2
    assert "80.0\N{EN DASH}90.0" in page


def test_the_other_files_hold_the_same(tmp_path: Path, page: str) -> None:
    table = (tmp_path / "out" / "results.md").read_text()
    content = json.loads((tmp_path / "out" / "results.json").read_text())

    assert re.search(r"\| a +\| 10 +\| ours +\| 10 .*\*\*85\.0\*\*", table)
    assert len(content["measured"]["rows"]) == len(ROWS)
    assert content["published"][0]["confidence"] == "read"


def test_overall_figures_are_over_what_is_comparable() -> None:
    rows = [*ROWS, row("only ours", "ours", **{**SCORES, "auc5": 10.0})]

    ours, peer = overall_lines(median_rows(rows))

    assert [cell.text for cell in ours.cells[:5]] == ["3", "30 of 30", "50.0", "70.0", "85.0"]
    assert ours.cells[5].text == "0.25"
    assert (peer.cells[1].text, peer.cells[4].text, peer.cells[5].text) == ("10 of 20", "70.0", "1.00")
    assert num_scored(median_rows(rows)) == 1


def test_another_programs_result_is_no_truth_for_means() -> None:
    rows = [replace(r, unmeasured_truth=True) for r in ROWS]

    assert num_scored(median_rows(rows)) == 0
    assert overall_lines(median_rows(rows))[0].cells[4].text == "\N{EN DASH}"


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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": []}', '{"rows": [{"set": "a"}]}'])
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
        (lambda t: t["measured"].update(figures=["auc1", "auc2", None]), "no such figure: auc2"),
        (lambda t: t["measured"].update(group="train"), "no list of scenes has eth3d:train"),
        (lambda t: t["measured"].update(dataset="eth"), "no list of scenes has eth:training"),
        (lambda t: t["measured"].update(sets="eth3d-*"), r"tables\[0\]\.measured\.sets: Unexpected"),
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
