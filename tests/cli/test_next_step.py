"""The last line of a run says what to do with a model: export what has no caveat, look at any other."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sfm.cli.summary import result_lines
from sfm.report.verdict import Facts, Verdict
from sfm.types import PhotoOutcome, PhotoStatus

GOOD = Facts(readable=2, registered=2, num_models=1)
UNSURE = Facts(readable=2, registered=2, num_models=1, in_doubt=1, unsure=1)
MISSING = Facts(readable=3, registered=2, num_models=1)
APART = Facts(readable=4, registered=4, num_models=2)


def last_line(facts: Facts, *outcomes: PhotoOutcome, report: bool) -> str:
    run = SimpleNamespace(
        stopped=(),
        models=(),
        ambiguous=False,
        backend="sift",
        verdict=Verdict.of(facts),
        failures=(),
        changed=(),
        config=SimpleNamespace(export=SimpleNamespace(report=report, scene="never")),
    )
    result = SimpleNamespace(
        summary=lambda: "figures", run=run, outcomes=outcomes, models=("one",), output=Path("my out")
    )
    return result_lines(result)[-1]


SURE = PhotoOutcome("a.jpg", PhotoStatus.REGISTERED, 0, 50)
DOUBTED = PhotoOutcome("b c.jpg", PhotoStatus.REGISTERED, 0, 50, doubt="few points")
LEFT = PhotoOutcome("d.jpg", PhotoStatus.SKIPPED, None, 0, "damaged")


def test_a_good_model_is_exported() -> None:
    assert last_line(GOOD, SURE, report=True).endswith(" export 'my out' --to 3dgs")


@pytest.mark.parametrize("facts", [UNSURE, MISSING, APART])
def test_another_is_looked_at_first(facts: Facts) -> None:
    said = last_line(facts, SURE, DOUBTED, report=True)

    assert said == "next        read my out/report.html before you use the model"


@pytest.mark.parametrize(
    ("facts", "outcomes", "command"),
    [
        (UNSURE, (SURE, DOUBTED), "explain 'my out' 'b c.jpg'"),
        (MISSING, (SURE, LEFT), "explain 'my out' d.jpg"),
        (APART, (SURE,), "graph 'my out'"),
    ],
)
def test_without_a_report_a_command_shows_why(
    facts: Facts, outcomes: tuple[PhotoOutcome, ...], command: str
) -> None:
    assert last_line(facts, *outcomes, report=False).endswith(f" {command}")
