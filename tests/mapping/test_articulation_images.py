"""Parts that hang on a single photo are told from those that several hold."""

import pytest

from sfm.mapping.measures.articulation_images import PendantPart, pendant_parts

from .tracked import tracked_model

NEAR, FAR = {0, 1, 2, 3}, {4, 5, 6, 7, 8, 9}
WITHIN = [NEAR] * 20 + [FAR] * 20
HANGING = [PendantPart(frozenset("0123"), "4")]


@pytest.mark.parametrize(("num_across", "parts"), [(0, HANGING), (14, HANGING), (15, [])])
def test_a_part_hangs_on_a_photo_unless_others_see_its_points(
    num_across: int, parts: list[PendantPart]
) -> None:
    through_one = [{2, 3, 4}] * 50

    assert pendant_parts(tracked_model(10, WITHIN + through_one + [{3, 4, 5}] * num_across)) == parts


def test_few_points_hold_a_part_where_they_are_a_good_share() -> None:
    """As in photos that see few points altogether; wrong ones are a small share."""
    assert pendant_parts(tracked_model(10, WITHIN + [{2, 3, 4}] * 24 + [{3, 4, 5}] * 14)) == []


def test_few_points_of_each_pair_hold_a_part_where_they_are_many_together() -> None:
    across = [{near, far, 4 + (far + 1) % 6} for near in NEAR for far in FAR]

    assert pendant_parts(tracked_model(10, [*WITHIN, *across, *[{2, 3, 4}] * 50])) == []


def test_points_that_two_photos_see_alone_hold_nothing() -> None:
    """Wrong matches of one pair make such points, too."""
    assert pendant_parts(tracked_model(10, WITHIN + [{2, 3, 4}] * 50 + [{3, 5}] * 100)) == HANGING


def test_a_single_photo_is_no_part() -> None:
    """Where it is follows from the points that it sees, whoever else sees them."""
    assert pendant_parts(tracked_model(10, [set(range(9))] * 20 + [{7, 8, 9}] * 20)) == []


def test_a_part_within_a_part_is_not_named() -> None:
    chain = [{0, 1, 2}] * 20 + [{2, 3, 4}] * 20 + [set(range(4, 10))] * 20

    assert pendant_parts(tracked_model(10, chain)) == [PendantPart(frozenset("0123"), "4")]


def test_a_model_without_points_has_no_parts() -> None:
    assert pendant_parts(tracked_model(10, [])) == []
