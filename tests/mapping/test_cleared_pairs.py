"""Suspects that a model agrees with are cleared, unless it hangs on them or they misplace a part of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retrieval import Pair
from sfm.diagnosis.cleared_pairs import cleared_pairs
from sfm.diagnosis.misplaced_parts import MisplacedPart
from sfm.diagnosis.photo_quality import ModelQuality
from sfm.mapping.measures.agreement import AGREED_PX
from sfm.mapping.measures.covisibility_test import CovisibilityTest
from sfm.mapping.view_graph.inconsistent_pairs import InconsistencyReport, find_inconsistent_pairs
from sfm.types import PhotoQuality

from .test_inconsistent_pairs import FALSE, with_false_pairs
from .wall import pair

PHOTO = PhotoQuality(0.5, 10.0, 0.01, 0.01, "", 4, 4, 0.0)
FIRM = tuple(Pair(a, b) for a, b in ("ab", "bc", "cd"))
VERIFY = Pair("a", "d")


def quality(error_px: float, firm: tuple[Pair, ...] = FIRM) -> ModelQuality:
    """A chain of four photos and a suspect that closes it."""
    errors = {**dict.fromkeys(firm, 0.5), VERIFY: error_px}
    return ModelQuality(dict.fromkeys("abcd", PHOTO), errors, dict.fromkeys(errors, 100), 10.0)


@pytest.mark.parametrize("error_px", [0.3, AGREED_PX, AGREED_PX + 0.1, 50.0])
def test_a_suspect_is_cleared_where_the_poses_agree_with_it(error_px: float) -> None:
    cleared = cleared_pairs(quality(error_px), {VERIFY})

    assert cleared == ({VERIFY} if error_px <= AGREED_PX else set())


def test_a_suspect_that_alone_joins_two_parts_is_not_cleared() -> None:
    assert cleared_pairs(quality(0.3, FIRM[:1] + FIRM[2:]), {VERIFY}) == set()


def test_nor_is_one_between_photos_of_two_models() -> None:
    apart = quality(0.3)

    assert cleared_pairs(replace(apart, errors_px=dict.fromkeys(FIRM, 0.5)), {VERIFY}) == set()


@pytest.mark.parametrize(("part", "cleared"), [("ab", False), ("ad", True)])
def test_nor_is_one_that_holds_a_part_where_it_cannot_stand(part: str, cleared: bool) -> None:
    misplaced = (MisplacedPart(frozenset(part), CovisibilityTest(9, 1)),)

    assert cleared_pairs(replace(quality(0.3), misplaced=misplaced), {VERIFY}) == (
        {VERIFY} if cleared else set()
    )


def test_a_report_without_its_suspects_is_not_ambiguous() -> None:
    wall, inliers = with_false_pairs(3)
    report = find_inconsistent_pairs(wall.matches(inliers))
    false = {pair(*ends) for ends in FALSE}
    assert report.ambiguous

    few, none = report.without(false - {pair(*FALSE[0])}), report.without(false)

    assert {inconsistent.pair for inconsistent in few.inconsistent_pairs} == {pair(*FALSE[0])}
    assert few.deferred == report.deferred - (false - {pair(*FALSE[0])})
    assert not few.ambiguous
    assert none.inconsistent_pairs == ()
    assert report.without(set()) == report
    assert isinstance(none, InconsistencyReport)
