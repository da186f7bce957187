"""The charts of the report: recall over the error, time against photos, registered against pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charts import Axis, Chart, Point, Style, dot_chart, line_chart
from rows import CURVE_STEP_DEG, CURVE_STEPS, Row

_CURVES_FROM_DEG = 0.1


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
            charts.append(line_chart(name, f"{rows[0].photos} photos{doubt}", axes, lines, looks))
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
    return dot_chart(
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
    return dot_chart(
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
