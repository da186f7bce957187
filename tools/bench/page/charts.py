"""The charts of the report, as coordinates that a template draws: recall over the error, time against photos,
registered against pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.rows import CURVE_STEP_DEG, CURVE_STEPS, Row

WIDTH, HEIGHT = 380.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 12.0, 40.0
_CURVES_FROM_DEG = 0.1
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MANY_DECADES = 2.5
_NUM_HUES, _NUM_DASHES, _NUM_MARKS = 8, 4, 3
_WIDEST_PX, _THINNEST_PX = 4.0, 1.2
_NEAR_PX = 4.0
"""Dots nearer than this hide each other."""
_RINGS = ((0.0, 1), (5.0, 6), (8.0, 12))
"""Radius in pixels, and number, of the places that dots at one spot share: none lies further from its own."""
_SAME_PX = 1.0
"""Dots of one engine nearer than this are one."""


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


def chart(
    title: str,
    detail: str,
    axes: tuple[Axis, Axis],
    found: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Style],
    *,
    joined: bool = False,
) -> Chart:
    """Points of each name: joined to a line in their order, or dots.

    Dots of a name at one place are drawn as one, those of several names beside each other.
    """
    x_axis, y_axis = axes
    series = []
    taken: list[Point] = []
    for name, points in found.items():
        placed = [Point(_x(x_axis, p.x), _y(y_axis, p.y), p.text) for p in points]
        path = "M" + "L".join(f"{p.x:.1f},{p.y:.1f}" for p in placed) if joined and placed else ""
        dots = () if joined else tuple(_beside(p, taken) for p in _merged(placed))
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


def _merged(points: Sequence[Point]) -> list[Point]:
    """The points with those at one place as one, which tells how many it stands for and the text of each."""
    groups: list[list[Point]] = []
    for point in points:
        near = (g for g in groups if math.hypot(g[0].x - point.x, g[0].y - point.y) < _SAME_PX)
        group = next(near, None)
        if group is None:
            groups.append([point])
        else:
            group.append(point)
    return [
        group[0]
        if len(group) == 1
        else Point(
            group[0].x, group[0].y, "\n".join([f"{len(group)} at one place:", *(p.text for p in group)])
        )
        for group in groups
    ]


def _beside(point: Point, taken: list[Point]) -> Point:
    """The dot at the place nearest to its own that fewest others hide; `taken` learns where it is drawn."""
    places = [
        Point(round(point.x + x, 1), round(point.y + y, 1), point.text)
        for radius, count in _RINGS
        for x, y in _circle(radius, count)
    ]
    inside = [p for p in places if _LEFT <= p.x <= WIDTH - _RIGHT and _TOP <= p.y <= HEIGHT - _BOTTOM]
    chosen = min(inside or [point], key=lambda place: sum(_hides(other, place) for other in taken))
    taken.append(chosen)
    return chosen


def _circle(radius: float, count: int) -> list[tuple[float, float]]:
    turns = [2 * math.pi * i / count for i in range(count)]
    return [(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]


def _hides(one: Point, other: Point) -> bool:
    return math.hypot(one.x - other.x, one.y - other.y) < _NEAR_PX


def _x(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.share(value) * (WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - _BOTTOM - axis.share(value) * (HEIGHT - _TOP - _BOTTOM), 1)


def curve_charts(medians: Sequence[Row], looks: Mapping[str, Style]) -> list[Chart]:
    """For each set with a truth, the share of pairs of photos within an error, an engine a line."""
    x_axis = Axis("error of a pair, degrees", _CURVES_FROM_DEG, CURVE_STEP_DEG * CURVE_STEPS, True)
    charts = []
    for name, rows in _by_set(medians).items():
        lines = {
            row.name: [Point(CURVE_STEP_DEG * (i + 1), value) for i, value in enumerate(row.curve)]
            for row in rows
            if len(row.curve) == CURVE_STEPS
        }
        if lines:
            doubt = "; truth by another program" if rows[0].unmeasured_truth else ""
            axes = (x_axis, Axis("pairs, %", 0, 100))
            charts.append(chart(name, f"{rows[0].photos} photos{doubt}", axes, lines, looks, joined=True))
    return charts


def time_chart(medians: Sequence[Row], looks: Mapping[str, Style]) -> Chart | None:
    """Seconds of a whole run against the number of photos; None where nothing was timed."""
    timed = [row for row in medians if row.status.startswith("ok") and row.total_s > 0 and row.photos > 0]
    if not timed:
        return None
    axes = (
        Axis.around("photos", [row.photos for row in timed], logarithmic=True),
        Axis.around("seconds", [row.total_s for row in timed], logarithmic=True),
    )
    dots = {
        name: [
            Point(row.photos, row.total_s, f"{row.set}, {name}: {row.photos} photos, {row.total_s:.0f} s")
            for row in rows
        ]
        for name, rows in _by_name(timed).items()
    }
    return chart(
        "Time against photos",
        "a dot a set, one for an engine's sets at one place; wall clock",
        axes,
        dots,
        looks,
    )


def pairs_chart(medians: Sequence[Row], looks: Mapping[str, Style]) -> Chart | None:
    """Share of photos registered against the share of pairs matched; None where nobody tells pairs."""
    told = [row for row in medians if row.pairs and row.pairs_share is not None and row.photos > 0]
    if not told:
        return None
    axes = (Axis("pairs matched, %", 0, 102), Axis("photos registered, %", 0, 104))
    dots = {
        name: [
            Point(
                100 * (row.pairs_share or 0),
                100 * row.registered / row.photos,
                f"{row.set}, {name}: {row.registered} of {row.photos} photos, {row.pairs} pairs",
            )
            for row in rows
        ]
        for name, rows in _by_name(told).items()
    }
    return chart(
        "Registered against pairs", "a dot a set, one for an engine's sets at one place", axes, dots, looks
    )


def _by_set(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.set, []).append(row)
    return groups


def _by_name(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.name, []).append(row)
    return groups
