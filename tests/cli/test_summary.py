"""The last lines of a run warn where the model may be folded or photos are in doubt, and only there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from sfm.cli.summary import result_lines
from sfm.report.verdict import NO_MODEL
from sfm.types import PhotoOutcome, PhotoStatus


@pytest.mark.parametrize("ambiguous", [True, False])
def test_an_ambiguous_collection_is_warned_of(ambiguous: bool) -> None:
    run = SimpleNamespace(
        ambiguous=ambiguous,
        inconsistent_pairs=("a pair", "another"),
        aliasing_note="Take photos between." if ambiguous else "",
        verdict=NO_MODEL,
        failures=(),
        changed=(),
        config=SimpleNamespace(export=SimpleNamespace(report=False)),
    )
    result = SimpleNamespace(summary=lambda: "figures", run=run, outcomes=(), models=(), output=Path("out"))

    lines = result_lines(result)

    warned = ["aliasing    2 pairs join look-alike places (visual aliasing).", "  Take photos between."]
    assert lines == ["result      No model could be built", "figures", *(warned if ambiguous else [])]


@pytest.mark.parametrize("num_doubted", [0, 1, 12])
def test_photos_in_doubt_are_counted_and_named(num_doubted: int) -> None:
    export = SimpleNamespace(report=False)
    run = SimpleNamespace(
        ambiguous=False, verdict=NO_MODEL, failures=(), changed=(), config=SimpleNamespace(export=export)
    )
    outcomes = tuple(
        PhotoOutcome(f"{i:02d}.jpg", PhotoStatus.REGISTERED, 0, 50, doubt="few points" * (i < num_doubted))
        for i in range(15)
    )
    result = SimpleNamespace(
        summary=lambda: "figures", run=run, outcomes=outcomes, models=(), output=Path("out")
    )

    lines = result_lines(result)[2:]

    heads = {0: [], 1: ["in doubt    1 photo is probably at a wrong place:"]}
    assert lines[:1] == heads.get(num_doubted, ["in doubt    12 photos are probably at wrong places:"])
    assert lines[1:11] == [f"  {i:02d}.jpg: few points" for i in range(min(num_doubted, 10))]
    assert lines[11:] == (["  … and 2 more; see `outcomes` in out/run.json"] if num_doubted == 12 else [])
