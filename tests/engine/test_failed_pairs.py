"""Pairs that could not be matched are counted with their reason, and number the rounds of the loop anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval import Pair
from sfm.pairs.failed_pairs import FailedPairs, Failures

AB, BC, CD = Pair("a", "b"), Pair("b", "c"), Pair("c", "d")
NONE: frozenset[Pair] = frozenset()


def test_the_commonest_reason_is_told_with_what_to_do() -> None:
    failures = Failures.of(["out of memory", "b can no longer be read", "out of memory"])
    assert (failures.count, failures.why, failures.others) == (3, "out of memory", 1)
    assert failures.words == (
        "3 pairs could not be matched (2 of them: out of memory). "
        "The same command again tries them once more."
    )
    assert Failures.of(["x"]).words.startswith("1 pair could not be matched: x. ")
    assert Failures.of([]).words == ""


def test_rounds_are_numbered_anew_once_a_failed_pair_came_right(tmp_path: Path) -> None:
    FailedPairs.read(tmp_path).note({AB, BC}, {AB})
    assert FailedPairs.read(tmp_path).attempt == 0

    FailedPairs.read(tmp_path).note({AB, BC}, {AB})
    assert FailedPairs.read(tmp_path).attempt == 0  # failed again: nothing has changed

    FailedPairs.read(tmp_path).note({AB, BC}, NONE)
    FailedPairs.read(tmp_path).note({AB, BC}, NONE)
    assert FailedPairs.read(tmp_path).attempt == 1
    assert FailedPairs.read(tmp_path).pairs == NONE


def test_rounds_that_asked_for_pairs_in_vain_are_numbered_anew(tmp_path: Path) -> None:
    FailedPairs.read(tmp_path).note({AB}, NONE)
    FailedPairs.read(tmp_path).note({CD}, {CD})

    FailedPairs.read(tmp_path).forget_all_but({AB})

    assert FailedPairs.read(tmp_path).attempt == 1
    FailedPairs.read(tmp_path).forget_all_but({AB})
    assert FailedPairs.read(tmp_path).attempt == 1


def test_where_nothing_fails_nothing_is_written(tmp_path: Path) -> None:
    failed = FailedPairs.read(tmp_path)
    failed.note({AB}, NONE)
    failed.forget_all_but({AB})
    assert failed.attempt == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"attempt": 1}', '{"attempt": "x", "pairs": []}'])
def test_a_damaged_record_numbers_the_rounds_anew(tmp_path: Path, text: str) -> None:
    FailedPairs.read(tmp_path).note({AB}, {AB})
    (tmp_path / "failed_pairs.json").write_text(text)
    assert FailedPairs.read(tmp_path).attempt > 1
