"""The tables of the report as texts: all sets, and each engine over all sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from rows import Number, Row
from table import number

NONE, TO = "\N{EN DASH}", "\N{EN DASH}"
"""For no figure, and between the ends of a range."""
REFERENCE = "incremental, exhaustive"
"""The engine that times are ratios to."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as text."""

    text: str
    spread: str = ""
    """Least and most over the seeds, where they can be told apart."""
    best: bool = False
    """Not surpassed by another engine on this set."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One engine on one set, or over all."""

    name: str
    cells: tuple[Cell, ...]
    failed: bool = False


@dataclass(frozen=True, slots=True)
class SetTable:
    """All engines on one set."""

    name: str
    photos: int
    truth: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    figure: str
    show: Callable[[float], str]
    better: int
    """1 where more is better, -1 where less is, 0 where neither."""


def _digits(count: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{count}f}"


_COLUMNS = (
    _Column("registered", "registered", _digits(0), 1),
    _Column("AUC@1", "auc1", _digits(1), 1),
    _Column("AUC@3", "auc3", _digits(1), 1),
    _Column("AUC@5", "auc5", _digits(1), 1),
    _Column("ATE", "ate", lambda value: f"{value:.3g}", -1),
    _Column("agreement %", "agreement", _digits(0), 0),
    _Column("px", "reprojection_px", _digits(2), 0),
    _Column("track", "track_length", _digits(1), 0),
    _Column("pairs", "pairs", _digits(0), 0),
    _Column("seconds", "total_s", _digits(0), -1),
    _Column("CPU s", "cpu_s", _digits(0), -1),
    _Column("MB", "peak_memory_mb", _digits(0), 0),
)
SET_COLUMNS = ("models", *(column.title for column in _COLUMNS))
OVERALL_COLUMNS = (
    "sets",
    "photos registered",
    "mean AUC@1",
    "mean AUC@3",
    "mean AUC@5",
    "time",
    "CPU",
    "pairs",
)


def set_tables(medians: Sequence[Row]) -> list[SetTable]:
    """A table a set, engines in the order of the rows."""
    groups: dict[str, list[Row]] = {}
    for row in medians:
        groups.setdefault(row.set, []).append(row)
    return [
        SetTable(name, max(row.photos for row in rows), _truth(rows), tuple(_lines(rows)))
        for name, rows in groups.items()
    ]


def _truth(rows: Sequence[Row]) -> str:
    if all(row.auc5 is None for row in rows):
        return "no truth: registered photos and agreement with the others"
    return "against another program's result" if rows[0].unmeasured_truth else "against measured truth"


def _lines(rows: Sequence[Row]) -> list[Line]:
    best = {column.figure: _best(rows, column) for column in _COLUMNS}
    lines = []
    for row in rows:
        models = Cell("+".join(map(str, row.models[:5])) + ("+…" if len(row.models) > 5 else "") or "none")
        cells = [models, *(_cell(row, column, best[column.figure]) for column in _COLUMNS)]
        if row.status != "ok":
            cells[0] = Cell(models.text, note=row.status)
        lines.append(Line(row.name, tuple(cells), failed=not row.status.startswith("ok")))
    return lines


def _cell(row: Row, column: _Column, best: str | None) -> Cell:
    value = getattr(row, column.figure)
    if value is None or (not row.status.startswith("ok") and column.better <= 0):
        return Cell(NONE)
    text = column.show(value)
    low, high = (column.show(end) for end in row.spread.get(column.figure, (value, value)))
    return Cell(text, "" if low == high else f"{low}{TO}{high}", text == best)


def _best(rows: Sequence[Row], column: _Column) -> str | None:
    """As it is shown: what looks equal is equal; None where all are, or nothing is better."""
    finished = [row for row in rows if row.status.startswith("ok")]
    values = [v for v in (getattr(row, column.figure) for row in finished) if v is not None]
    if not column.better or len({column.show(value) for value in values}) < 2:
        return None
    return column.show(max(values) if column.better > 0 else min(values))


def overall_lines(medians: Sequence[Row]) -> list[Line]:
    """An engine a line: sums, means over the sets with measured truth that all have, ratios of time."""
    names = list(dict.fromkeys(row.name for row in medians))
    found = {(row.set, row.name): row for row in medians}
    sets = list(dict.fromkeys(row.set for row in medians))
    shared = [name for name in sets if all((name, engine) in found for engine in names)]
    scored = [s for s in shared if _is_measured(found[s, names[0]])]
    lines = []
    for engine in names:
        own = [found[s, engine] for s in sets if (s, engine) in found]
        means = [
            mean(getattr(found[s, engine], f) or 0.0 for s in scored)
            for f in ("auc1", "auc3", "auc5")
            if scored
        ]
        cells = [
            Cell(str(len(own))),
            Cell(f"{sum(r.registered for r in own)} of {sum(r.photos for r in own)}"),
        ]
        cells += [Cell(f"{value:.1f}") for value in means] or [Cell(NONE)] * 3
        for figure in ("total_s", "cpu_s", "pairs"):
            ratio = _ratio(found, sets, engine, figure)
            cells.append(Cell(number(ratio, 2) if ratio is not None else NONE))
        lines.append(Line(engine, tuple(cells)))
    return lines


def num_scored(medians: Sequence[Row]) -> int:
    """Sets over which `overall_lines` takes means."""
    names = {row.name for row in medians}
    engines: dict[str, set[str]] = {}
    for row in medians:
        if _is_measured(row):
            engines.setdefault(row.set, set()).add(row.name)
    return sum(found == names for found in engines.values())


def _is_measured(row: Row) -> bool:
    return row.auc5 is not None and not row.unmeasured_truth


def _ratio(found: Mapping[tuple[str, str], Row], sets: Sequence[str], engine: str, figure: str) -> Number:
    """Geometric mean over the sets on which both finished."""
    logs = []
    for name in sets:
        own, other = found.get((name, engine)), found.get((name, REFERENCE))
        if (
            own is None
            or other is None
            or not (own.status.startswith("ok") and other.status.startswith("ok"))
        ):
            continue
        mine, theirs = getattr(own, figure), getattr(other, figure)
        if mine and theirs:
            logs.append(math.log(mine / theirs))
    return math.exp(mean(logs)) if logs else None
