"""Added photos are held by the model when each has two verified pairs with photos that were there before."""

import pytest

from retrieval import Pair
from sfm.loop.anchored_images import all_anchored
from sfm.mapping import TwoView, ViewGraph

NAMES = ("a.jpg", "b.jpg", "c.jpg", "x.jpg", "y.jpg")
OLD, NEW = frozenset(NAMES[:3]), frozenset(NAMES[3:])


@pytest.mark.parametrize(
    ("pairs", "tied"),
    [
        ("ax bx ay cy", True),
        ("ax bx ay xy", False),
        ("ax bx xy", False),
    ],
)
def test_photos_that_hang_on_other_new_ones_alone_may_have_drifted(pairs: str, tied: bool) -> None:
    edges = {
        Pair.of(*(f"{end}.jpg" for end in pair)): TwoView(100, "calibrated", 0.5) for pair in pairs.split()
    }

    assert all_anchored(ViewGraph(NAMES, edges), NEW, OLD) is tied


def test_without_earlier_photos_none_is_tied() -> None:
    edges = {Pair.of("a.jpg", "x.jpg"): TwoView(100, "calibrated", 0.5)}

    assert not all_anchored(ViewGraph(NAMES, edges), frozenset(NAMES), frozenset())
