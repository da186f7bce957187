"""The bench of alignment: what it says of its rows, and that a second call goes on."""

import json
import sys
from pathlib import Path

import alignment
import pytest
from alignment import Row


def row(method: str, auc: float, registered: int = 5) -> Row:
    return Row("spin", 5, "none", 0, method, registered=registered, auc1=0.0, auc3=auc, auc5=60.0)


def test_alignment_alone_is_ahead_where_neither_other_reaches_it() -> None:
    assert alignment.judge([row("alignment", 50), row("alignment+ba", 40), row("graph", 51)]) == []
    assert alignment.judge([row("alignment", 50), row("alignment+ba", 40), row("graph", 49)]) == [
        "spin-5-none: alignment alone is ahead, auc3 50.0 against 49.0"
    ]
    assert alignment.judge([row("alignment", 50)]) == []
    two_seeds = [row("alignment", 50), row("alignment", 0), row("graph", 20), row("graph", 40)]
    assert alignment.judge(two_seeds) == []


def test_what_the_initialiser_adds_and_takes_is_told() -> None:
    added = alignment.judge([row("graph", 50), row("graph-alone", 9, registered=2)])
    taken = alignment.judge([row("graph", 50, registered=4), row("graph-alone", 50)])

    assert added == ["spin-5-none: the initialiser adds 3 photos"]
    assert taken == ["spin-5-none: the initialiser takes 1 photos"]


def test_an_initialiser_that_lowers_the_figures_is_told() -> None:
    worse, without = row("graph", 50), Row("spin", 5, "none", 0, "graph-alone", registered=5, auc5=61.0)

    assert alignment.judge([worse, without]) == ["spin-5-none: the initialiser lowers auc5 from 61.0 to 60.0"]


@pytest.mark.slow  # a rendered scene and three runs
def test_a_case_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.json"
    words = ["alignment.py", "square", "--photos=2", "--disturbed=noise", "--mappers=graph", "--threads=1"]
    monkeypatch.setattr(sys, "argv", [*words, f"--cache={tmp_path / 'cache'}", f"--out={out}"])

    alignment.main()
    first = json.loads(out.read_text(encoding="utf-8"))["rows"]
    alignment.main()
    second = json.loads(out.read_text(encoding="utf-8"))["rows"]

    assert first == second  # processor time is measured: a second run differs
    assert (first[0]["status"], first[0]["pairs"], first[0]["registered"]) == ("ok", 1, 2)
    assert first[0]["auc5"] > 20
