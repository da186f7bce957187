"""What a run says of look-alikes, from its database alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfm.diagnosis.visual_aliasing import (
    ADVICE,
    MAX_PAIRS,
    num_verified,
    read_inconsistent_pairs,
    visual_aliasing,
)

from .synthetic import synthesize
from .test_inconsistent_pairs import FALSE, with_false_pairs
from .wall import pair


@pytest.fixture
def ambiguous(tmp_path: Path) -> Path:
    wall, inliers = with_false_pairs(3)
    wall.write_database(tmp_path / "wall.db", inliers)
    return tmp_path / "wall.db"


def test_suspects_are_listed_with_advice_where_there_are_many(ambiguous: Path) -> None:
    found = visual_aliasing(read_inconsistent_pairs(ambiguous, frozenset()))

    assert {(s.a, s.b) for s in found.inconsistent_pairs} == {tuple(pair(*ends)) for ends in FALSE}
    assert [s.score for s in found.inconsistent_pairs] == sorted(
        (s.score for s in found.inconsistent_pairs), reverse=True
    )
    assert found.ambiguous
    assert found.note == ADVICE


def test_with_too_many_pairs_nobody_looks_and_that_is_said(ambiguous: Path) -> None:
    count = num_verified(ambiguous)

    assert read_inconsistent_pairs(ambiguous, frozenset(), max_pairs=count) is not None
    found = visual_aliasing(read_inconsistent_pairs(ambiguous, frozenset(), max_pairs=count - 1))

    assert (found.inconsistent_pairs, found.ambiguous) == ((), False)
    assert f"more than {MAX_PAIRS:,} verified pairs" in found.note


def test_a_scene_without_visual_aliasing_has_nothing_to_say(tmp_path: Path) -> None:
    scene = synthesize(tmp_path / "scene.db")

    found = visual_aliasing(read_inconsistent_pairs(scene.database, frozenset()))

    assert (found.inconsistent_pairs, found.ambiguous, found.note) == ((), False, "")
