"""One verdict from all that is known of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.report.verdict import Facts, Verdict

SOUND = Facts(readable=8, registered=8, num_models=1)


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        (SOUND, "Complete: every photo is in one model"),
        (replace(SOUND, registered=7), "1 photo is not in any model"),
        (replace(SOUND, num_models=2), "Every photo is in, in 2 separate models"),
        (replace(SOUND, in_doubt=1), "Every photo is in one model, 1 of them in doubt"),
        (replace(SOUND, registered=6, in_doubt=2), "2 photos are not in any model, 2 photos in doubt"),
        (
            replace(SOUND, in_doubt=3, ambiguous=True),
            "Every photo is in one model, 3 of them in doubt, which may be folded: places look alike",
        ),
        (
            replace(SOUND, num_models=2, ambiguous=True),
            "Every photo is in, in 2 separate models, places look alike",
        ),
        (
            replace(SOUND, failed_steps=("report",)),
            "Every photo is in one model, but not all was done: report failed",
        ),
        (replace(SOUND, num_models=0, registered=0), "No model could be built"),
    ],
)
def test_the_headline_names_what_there_is_to_say(facts: Facts, title: str) -> None:
    assert Verdict.of(facts).title == title


@given(st.builds(Facts, *[st.integers(0, 3)] * 4, st.booleans(), st.lists(st.just("report")).map(tuple)))
def test_only_a_run_with_nothing_against_it_is_good(facts: Facts) -> None:
    nothing_against = (
        facts.readable == facts.registered
        and facts.num_models == 1
        and not (facts.in_doubt or facts.ambiguous or facts.failed_steps)
    )

    assert (Verdict.of(facts).grade == "good") is nothing_against
    assert (Verdict.of(facts).grade == "failed") is (facts.num_models == 0)
