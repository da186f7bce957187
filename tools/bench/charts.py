"""Charts of the report as coordinates that a template draws: axes with round ticks, lines and dots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 380.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 12.0, 40.0
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MANY_DECADES = 2.5
_NUM_HUES, _NUM_DASHES, _NUM_MARKS = 8, 4, 3
_WIDEST_PX, _THINNEST_PX = 4.0, 1.2
_NEAR_PX, _APART_PX = 5.0, 6.0
"""Dots nearer than this hide each other, and are moved around their place by that."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to a share of the chart's side."""

    label: str
    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def around(cls, label: str, values: Sequence[float], *, logarithmic: bool = False) -> Axis:
        """An axis on which all values lie, with a little room; a linear one begins at 0.

        Raises:
            ValueError: no values, or one that is not positive on a logarithmic axis.
        """
        low, high = min(values), max(values)
        if not logarithmic:
            return cls(label, 0.0, (high or 1.0) * 1.05)
        if low <= 0:
            raise ValueError(f"{label}: {low} has no logarithm")
        return cls(label, low / 1.25, high * 1.25, True)

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values on the axis, about five."""
        if not self.logarithmic:
            rough = (self.high - self.low) / 5
            size = 10.0 ** math.floor(math.log10(rough))
            step = next(size * s for s in _STEPS if size * s >= rough * 0.999)
            first = math.ceil(self.low / step - 1e-9)
            return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        many = math.log10(self.high / self.low) > _MANY_DECADES
        values = [factor * 10.0**power for power in decades for factor in ((1,) if many else (1, 2, 5))]
        return [value for value in values if self.low <= value <= self.high]


@dataclass(frozen=True, slots=True)
class Point:
    """A dot, or a corner of a line, and what a pointer over it shows."""

    x: float
    y: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Style:
    """What tells an engine's lines and dots from others': classes of the page's style sheet."""

    hue: int
    dash: int
    mark: int
    width: float
    """Of lines, px: later ones are drawn over earlier ones and leave their edges to be seen."""


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A style a name; of 24 no two are the same, and neighbours differ in colour and dashes."""
    return {
        name: Style(
            i % _NUM_HUES,
            (i + i // _NUM_HUES) % _NUM_DASHES,
            i // _NUM_HUES % _NUM_MARKS,
            max(_WIDEST_PX - 0.5 * i, _THINNEST_PX),
        )
        for i, name in enumerate(names)
    }


@dataclass(frozen=True, slots=True)
class Series:
    """What one engine has on a chart, in pixels."""

    name: str
    style: Style
    path: str
    """SVG's, empty for dots alone."""
    dots: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in pixels, y downwards."""

    title: str
    detail: str
    x_label: str
    y_label: str
    x_ticks: tuple[Point, ...]
    """Each at the foot of its line."""
    y_ticks: tuple[Point, ...]
    series: tuple[Series, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def line_chart(
    title: str,
    detail: str,
    axes: tuple[Axis, Axis],
    lines: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Style],
) -> Chart:
    """Lines through points in their order, one a name."""
    return _chart(title, detail, axes, lines, looks, joined=True)


def dot_chart(
    title: str,
    detail: str,
    axes: tuple[Axis, Axis],
    dots: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Style],
) -> Chart:
    """Dots alone, one a point."""
    return _chart(title, detail, axes, dots, looks, joined=False)


def _chart(
    title: str,
    detail: str,
    axes: tuple[Axis, Axis],
    found: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Style],
    *,
    joined: bool,
) -> Chart:
    x_axis, y_axis = axes
    series = []
    taken: list[Point] = []
    for name, points in found.items():
        placed = [Point(_x(x_axis, p.x), _y(y_axis, p.y), p.text) for p in points]
        path = "M" + "L".join(f"{p.x:.1f},{p.y:.1f}" for p in placed) if joined and placed else ""
        dots = () if joined else tuple(_beside(p, taken) for p in placed)
        series.append(Series(name, looks[name], path, dots))
    return Chart(
        title,
        detail,
        x_axis.label,
        y_axis.label,
        tuple(Point(_x(x_axis, tick), HEIGHT - _BOTTOM, f"{tick:g}") for tick in x_axis.ticks()),
        tuple(Point(_LEFT, _y(y_axis, tick), f"{tick:g}") for tick in y_axis.ticks()),
        tuple(series),
    )


def _beside(point: Point, taken: list[Point]) -> Point:
    """The dot, or where others have its place already, one on a ring around it; `taken` learns its place."""
    others = sum(math.hypot(point.x - p.x, point.y - p.y) < _NEAR_PX for p in taken)
    taken.append(point)
    if not others:
        return point
    ring, turn = 1 + (others - 1) // 6, 2 * math.pi * (others - 1) / 6
    shift = ring * _APART_PX
    x, y = point.x + shift * math.cos(turn), point.y + shift * math.sin(turn)
    return Point(round(x, 1), round(y, 1), point.text)


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.share(value) * (WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - _BOTTOM - axis.share(value) * (HEIGHT - _TOP - _BOTTOM), 1)
