"""Whether images observe what they are predicted to see: photos of a wall of points, built by hand."""

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.mapping.measures.repeatability import lower_half_means, repeatabilities

from .test_covisibility import at, model_of, wall

AB = Pair("a", "b")


def test_images_that_observe_the_same_wall_repeat_it() -> None:
    points = wall(5.0, -3, 4)

    found = repeatabilities(model_of({"a": (at(0), points), "b": (at(0.5), points)}), [AB])

    assert found == {AB: 2.0}


def test_images_that_share_a_print_alone_do_not_repeat_what_is_around_it() -> None:
    """Two scenes on each other: a third of the points is on the print, the others are of one scene each."""
    points = wall(5.0, -3, 4)
    of_scene = np.arange(len(points)) % 3
    views = {"a": (at(0), points[of_scene != 1]), "b": (at(0.1), points[of_scene != 2])}
    views |= {"c": (at(0.2), points[of_scene != 1])}

    found = repeatabilities(model_of(views), [AB, Pair("a", "c"), Pair("b", "c")])

    assert found[Pair("a", "c")] == 2.0
    assert found[AB] == pytest.approx(0.0, abs=0.2)  # half of what either sees
    assert found[Pair("b", "c")] == pytest.approx(0.0, abs=0.2)


def test_fewer_points_are_expected_again_under_an_angle() -> None:
    """At 5 units, a step of 1.2 is seen under some 13 degrees: 0.043 a degree of the log-odds of a half."""
    points = wall(5.0, -4, 5)
    views = {"a": (at(0), points[::2]), "b": (at(1.2), points)}

    near = repeatabilities(model_of({**views, "b": (at(0.0), points)}), [AB])[AB]
    far = repeatabilities(model_of(views), [AB])[AB]

    assert 0.3 < far - near < 0.7


@pytest.mark.parametrize(
    "there", [at(6), at(0, 2.5), at(0, 0, 180)], ids=["at an angle", "at another size", "turned away"]
)
def test_pairs_that_see_nothing_alike_have_no_repeatability(there: pycolmap.Rigid3d) -> None:
    points = np.vstack((wall(5.0, -3, 8), wall(-5.0, -3, 3)))

    assert repeatabilities(model_of({"a": (at(0), points), "b": (there, points)}), [AB]) == {}


def test_pairs_of_images_outside_the_model_are_left_out() -> None:
    points = wall(5.0, -3, 4)
    model = model_of({"a": (at(0), points), "b": (at(0.5), points)})

    assert repeatabilities(model, [Pair("a", "z"), Pair("y", "z")]) == {}


def test_the_lower_half_of_an_images_pairs_counts_the_more_the_more_pairs_there_are() -> None:
    values = {Pair("a", "b"): 3.0, Pair("a", "c"): -1.0, Pair("a", "d"): 2.0}

    assert lower_half_means(values) == pytest.approx({"a": 0.5 * 3 / 5, "b": 1.0, "c": -1 / 3, "d": 2 / 3})
