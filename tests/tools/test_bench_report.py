"""The page of results, and its charts."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page.charts import Axis, Point, chart, styles
from page.results import agreement_notes, read_results
from report import main, write_report

from tests.tools.report_rows import ROWS, written


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


def test_the_page_tells_machine_commit_command_date_seeds_and_reasons(page: str) -> None:
    for told in ("a processor", "2, each run had 2 threads", "abc", "python peers.py", "2026-01-01", "0, 1"):
        assert told in page
    assert re.search(r'<tr class="why"><td colspan="\d+">exit 1: &lt;script&gt;</td></tr>', page)


def test_a_curve_and_a_spread_are_drawn(page: str) -> None:
    assert page.count('class="line ') == 2
    assert "80.0\N{EN DASH}90.0" in page


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


def test_the_other_files_hold_the_same(tmp_path: Path, page: str) -> None:
    table = (tmp_path / "out" / "results.md").read_text()
    content = json.loads((tmp_path / "out" / "results.json").read_text())

    assert len(content["measured"]["rows"]) == len(ROWS)

    figures = r"\| ours .*\*\*85\.0\*\* \[80\.0\N{EN DASH}90\.0\].*\| ok +\|"
    assert re.search(rf"\| a +\| 10 +\| against measured truth +{figures}", table)
    assert re.search(r"\| <b> .*no truth.*\| incremental, .*\| exit 1: <script> +\|", table)


def test_dots_in_a_corner_stay_there_and_within_the_plot() -> None:
    """As where five engines register all photos of eighteen sets with nearly all pairs."""
    corner = [Point(100 - i / 9, 100 - i % 3, f"set {i}") for i in range(18)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))
    names = [f"engine {i}" for i in range(5)]

    drawn = chart("", "", axes, dict.fromkeys(names, corner), styles(names))

    for series in drawn.series:
        assert len(series.dots) == len(corner)
        for dot, place in zip(series.dots, corner, strict=True):
            x = drawn.left + place.x / 100 * (drawn.right - drawn.left)
            y = drawn.bottom - place.y / 100 * (drawn.bottom - drawn.top)
            assert np.hypot(dot.x - x, dot.y - y) < 8.2
            assert drawn.left <= dot.x <= drawn.right
            assert drawn.top <= dot.y <= drawn.bottom


def test_an_engines_dots_at_one_place_are_one_that_tells_all() -> None:
    names = [f"engine {i}" for i in range(5)]
    points = [Point(100, 100, f"set {i}") for i in range(18)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))

    drawn = chart("", "", axes, dict.fromkeys(names, points), styles(names))

    dots = [dot for series in drawn.series for dot in series.dots]
    assert len(dots) == len(names)
    assert min(np.hypot(a.x - b.x, a.y - b.y) for i, a in enumerate(dots) for b in dots[:i]) > 4
    assert dots[-1].text.startswith("18 at one place:")
    assert all(point.text in dots[-1].text for point in points)


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
