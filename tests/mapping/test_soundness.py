"""Parts of a model that hardly a point ties together are told apart."""

import pytest

from sfm.mapping.measures.soundness import point_connected_parts

from .tracked import tracked_model

WITHIN = [{0, 1, 2}] * 20 + [{3, 4, 5, 6, 7, 8, 9}] * 20


@pytest.mark.parametrize(("num_points", "num_parts"), [(0, 2), (14, 2), (15, 1)])
def test_parts_are_those_that_points_tie(num_points: int, num_parts: int) -> None:
    parts = point_connected_parts(tracked_model(10, WITHIN + [{2, 3, 4}] * num_points))

    assert parts == (
        [frozenset("0123456789")] if num_parts == 1 else [frozenset("3456789"), frozenset("012")]
    )


def test_few_points_of_each_pair_tie_where_they_are_many_together() -> None:
    across = [{near, far, 3 + (far + 1) % 7} for near in range(3) for far in range(3, 10)]

    assert point_connected_parts(tracked_model(10, WITHIN + across)) == [frozenset("0123456789")]


def test_points_that_two_photos_see_alone_tie_nothing() -> None:
    """Wrong matches of one pair make such points, too."""
    assert len(point_connected_parts(tracked_model(10, WITHIN + [{2, 3}] * 100))) == 2


def test_a_photo_without_points_is_a_part_of_its_own() -> None:
    parts = point_connected_parts(tracked_model(10, [set(range(9))] * 20))

    assert parts == [frozenset("012345678"), frozenset("9")]


def test_no_photo_of_a_model_without_points_is_tied() -> None:
    assert point_connected_parts(tracked_model(10, [])) == [frozenset(str(number)) for number in range(10)]
