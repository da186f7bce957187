"""The last lines of a run warn where the model may be folded, and only there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from sfm.cli.summary import result_lines


@pytest.mark.parametrize("ambiguous", [True, False])
def test_an_ambiguous_collection_is_warned_of(ambiguous: bool) -> None:
    run = SimpleNamespace(
        ambiguous=ambiguous,
        suspects=("a pair", "another"),
        look_alikes_note="Take photos between." if ambiguous else "",
        config=SimpleNamespace(export=SimpleNamespace(report=False)),
    )
    result = SimpleNamespace(summary=lambda: "figures", run=run, outcomes=(), models=(), output=Path("out"))

    lines = result_lines(result)

    warned = ["look-alikes 2 pairs join places that only look the same.", "  Take photos between."]
    assert lines == ["figures", *(warned if ambiguous else [])]
