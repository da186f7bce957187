"""Charts as coordinates: dots that share a place, looks of engines, ticks."""

from __future__ import annotations

import numpy as np
import pytest
from page.charts import Axis, Point, chart, styles


def test_dots_at_one_place_are_all_seen() -> None:
    names = [f"engine {i}" for i in range(10)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))

    drawn = chart("", "", axes, {name: [Point(50, 50)] for name in names}, styles(names))

    dots = [dot for series in drawn.series for dot in series.dots]
    apart = [np.hypot(a.x - b.x, a.y - b.y) for i, a in enumerate(dots) for b in dots[:i]]
    assert min(apart) > 4
    assert max(apart) < 30


def test_dots_in_a_corner_stay_there_and_within_the_plot() -> None:
    """As where five engines register all photos of eighteen sets with nearly all pairs."""
    corner = [Point(100 - i / 9, 100 - i % 3, f"set {i}") for i in range(18)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))
    names = [f"engine {i}" for i in range(5)]

    drawn = chart("", "", axes, dict.fromkeys(names, corner), styles(names))

    for series in drawn.series:
        assert len(series.dots) == len(corner)
        for dot, place in zip(series.dots, corner, strict=True):
            x = drawn.left + place.x / 100 * (drawn.right - drawn.left)
            y = drawn.bottom - place.y / 100 * (drawn.bottom - drawn.top)
            assert np.hypot(dot.x - x, dot.y - y) < 8.2
            assert drawn.left <= dot.x <= drawn.right
            assert drawn.top <= dot.y <= drawn.bottom


def test_an_engines_dots_at_one_place_are_one_that_tells_all() -> None:
    names = [f"engine {i}" for i in range(5)]
    points = [Point(100, 100, f"set {i}") for i in range(18)]
    axes = (Axis("", 0, 100), Axis("", 0, 100))

    drawn = chart("", "", axes, dict.fromkeys(names, points), styles(names))

    dots = [dot for series in drawn.series for dot in series.dots]
    assert len(dots) == len(names)
    assert min(np.hypot(a.x - b.x, a.y - b.y) for i, a in enumerate(dots) for b in dots[:i]) > 4
    assert dots[-1].text.startswith("18 at one place:")
    assert all(point.text in dots[-1].text for point in points)


def test_no_two_of_many_engines_look_alike() -> None:
    looks = styles([str(i) for i in range(24)])

    assert len({(style.hue, style.dash, style.mark) for style in looks.values()}) == 24


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 100), [0, 20, 40, 60, 80, 100]),
        (Axis("", 0.1, 10, True), [0.1, 0.2, 0.5, 1, 2, 5, 10]),
        (Axis("", 5, 50000, True), [10, 100, 1000, 10000]),
        (Axis.around("", [3.0]), [0, 1, 2, 3]),
    ],
)
def test_ticks_are_round(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)
    assert all(-1e-9 <= axis.share(tick) <= 1 + 1e-9 for tick in ticks)
