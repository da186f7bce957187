"""The tables of the report as texts: all sets, and each engine over all sets."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from metrics.rows import Number, Row
from metrics.table import number

NONE, TO = "\N{EN DASH}", "\N{EN DASH}"
"""For no figure, and between the ends of a range."""
_REFERENCE = ("incremental", "exhaustive")
"""Engine and choice that times are ratios to."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure as text."""

    text: str
    spread: str = ""
    """Least and most over the seeds, where they can be told apart."""
    best: bool = False
    """Not surpassed by another engine on this set."""


@dataclass(frozen=True, slots=True)
class Line:
    """One engine on one set, or over all."""

    name: str
    cells: tuple[Cell, ...]
    failed: bool = False
    note: str = ""
    """Why there is no result, or how many seeds have none."""


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of a table that are shown together: those in which somebody has a figure."""

    title: str
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetTable:
    """All engines on one set."""

    name: str
    photos: int
    truth: str
    lines: tuple[Line, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class OverallTable:
    """All engines over the sets with one kind of truth, or over all sets."""

    title: str
    num_scored: int
    """Sets over which means are taken: those with this truth that every engine ran on."""
    counts: tuple[int | None, ...]
    """Of each column, over how many of these its means are, where that is not all; some figures are not
    defined on every set."""
    lines: tuple[Line, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    figure: str
    show: Callable[[float], str]
    better: int
    """1 where more is better, -1 where less is, 0 where neither."""


def _digits(count: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{count}f}"


def _significant(value: float) -> str:
    return f"{value:.3g}"


_PAIRS = (
    _Column("registered", "registered", _digits(0), 1),
    _Column("%", "registered_share", _digits(0), 0),
    *(_Column(f"AUC@{t}", f"auc{t}", _digits(1), 1) for t in (1, 3, 5, 10, 20, 30)),
    _Column("mAA(30)", "maa30", _digits(1), 1),
    *(
        _Column(f"{name}@{t}", f"{name.lower()}{t}", _digits(1), 1)
        for t in (5, 15)
        for name in ("RRA", "RTA")
    ),
    *(_Column(f"all models AUC@{t}", f"colmap_auc{t}", _digits(1), 1) for t in (1, 5)),
)
_POSITIONS = (
    _Column("agree %", "agreement", _digits(0), 0),
    _Column("wrong model", "wrong_model", _digits(0), -1),
    _Column("ATE", "ate", _significant, -1),
    _Column("ATE m", "ate_metres", _significant, -1),
    _Column("ATE / rms", "ate_normalised", _significant, -1),
    _Column("ATE / norm", "ate_frobenius", _significant, -1),
)
_COST = (
    _Column("px", "reprojection_px", _digits(2), 0),
    _Column("track", "track_length", _digits(1), 0),
    _Column("points", "num_points", _digits(0), 0),
    _Column("pairs", "pairs", _digits(0), 0),
    _Column("describe s", "describe_s", _digits(0), 0),
    _Column("match s", "match_s", _digits(0), 0),
    _Column("map s", "map_s", _digits(0), 0),
    _Column("seconds", "total_s", _digits(0), -1),
    _Column("CPU s", "cpu_s", _digits(0), -1),
    _Column("MB", "peak_memory_mb", _digits(0), 0),
)
_COLUMNS = (*_PAIRS, *_POSITIONS, *_COST)
_LEFT_OUT_OF_FAILURES = frozenset(column.figure for column in _COST)
SET_COLUMNS = ("models", *(column.title for column in _COLUMNS))
_SET_PARTS = (("Photos and pairs", 1 + len(_PAIRS)), ("Places and cost", len(_POSITIONS) + len(_COST)))
"""Tables that a set's columns are shown as, with how many columns each has: a page is no wider."""
_MEANS = (
    ("registered %", "registered_share", _digits(1)),
    *((f"AUC@{t}", f"auc{t}", _digits(1)) for t in (1, 3, 5, 10, 20, 30)),
    ("mAA(30)", "maa30", _digits(1)),
    ("RRA@5", "rra5", _digits(1)),
    ("RTA@5", "rta5", _digits(1)),
    ("ATE m", "ate_metres", _significant),
    ("ATE / rms", "ate_normalised", _significant),
    ("ATE / norm", "ate_frobenius", _significant),
    ("seconds", "total_s", _digits(0)),
)
_UNDEFINED_WITHOUT_MODEL = frozenset({"ate_metres", "ate_normalised", "ate_frobenius", "total_s"})
_RATIOS = (("time", "total_s"), ("CPU", "cpu_s"), ("pairs", "pairs"))
_OF_ITS_OWN = ("sets", "photos registered", "registered %, all its sets")
"""Columns over whatever sets an engine ran on."""
OVERALL_COLUMNS = (
    *_OF_ITS_OWN,
    *(title for title, _, _ in _MEANS),
    *(title for title, _ in _RATIOS),
)
_OVERALL_PARTS = (
    ("Photos and pairs", OVERALL_COLUMNS.index("ATE m")),
    ("Places and cost", len(OVERALL_COLUMNS) - OVERALL_COLUMNS.index("ATE m")),
)


def set_tables(medians: Sequence[Row]) -> list[SetTable]:
    """A table a set, engines in the order of the rows."""
    groups: dict[str, list[Row]] = {}
    for row in medians:
        groups.setdefault(row.set, []).append(row)
    tables = []
    for name, rows in groups.items():
        lines = _lines(rows)
        photos = max(row.photos for row in rows)
        tables.append(SetTable(name, photos, _truth(rows), tuple(lines), _parts(lines, _SET_PARTS)))
    return tables


def _truth(rows: Sequence[Row]) -> str:
    if rows[0].unmeasured_truth:
        return "against another program's result"
    if all(row.auc5 is None for row in rows):
        return "no truth: registered photos and agreement with the others"
    return "against measured truth"


def _lines(rows: Sequence[Row]) -> list[Line]:
    best = {column.figure: _best(rows, column) for column in _COLUMNS}
    lines = []
    for row in rows:
        models = "+".join(map(str, row.models[:5])) + ("+…" if len(row.models) > 5 else "") or "none"
        cells = [_cell(row, column, best[column.figure]) for column in _COLUMNS]
        first = Cell(NONE if row.skipped else models)
        note = "" if row.status == "ok" else row.status
        lines.append(Line(row.name, (first, *cells), failed=not row.is_ok, note=note))
    return lines


def _cell(row: Row, column: _Column, best: str | None) -> Cell:
    value = getattr(row, column.figure)
    if value is None or row.skipped or (not row.is_ok and column.figure in _LEFT_OUT_OF_FAILURES):
        return Cell(NONE)
    text = column.show(value)
    low, high = (column.show(end) for end in row.spread.get(column.figure, (value, value)))
    return Cell(text, "" if low == high else f"{low}{TO}{high}", row.is_ok and text == best)


def _best(rows: Sequence[Row], column: _Column) -> str | None:
    """As it is shown: what looks equal is equal; None where all are, or nothing is better."""
    values = [v for v in (getattr(row, column.figure) for row in rows if row.is_ok) if v is not None]
    if not column.better or len({column.show(value) for value in values}) < 2:
        return None
    return column.show(max(values) if column.better > 0 else min(values))


def _parts(lines: Sequence[Line], sizes: Sequence[tuple[str, int]]) -> tuple[Part, ...]:
    """Columns in parts of these titles and sizes, without those in which no line has a figure."""
    parts = []
    first = 0
    for title, size in sizes:
        columns = range(first, first + size)
        shown = tuple(i for i in columns if any(line.cells[i].text != NONE for line in lines))
        parts.append(Part(title, shown))
        first += size
    return tuple(part for part in parts if part.columns)


def reference_of(medians: Sequence[Row]) -> str:
    """Name of the engine that times are ratios to, at its defaults where it was measured so."""
    names = {row.variant: row.name for row in medians if (row.engine, row.choice) == _REFERENCE}
    return names.get("") or next(iter(names.values()), ", ".join(_REFERENCE))


def overall_tables(medians: Sequence[Row]) -> list[OverallTable]:
    """Over all sets, with means over those with measured truth; and over those with another program's."""
    run = [row for row in medians if not row.skipped]
    tables = [_overall("All sets", run, [row for row in run if not row.unmeasured_truth])]
    if others := [row for row in run if row.unmeasured_truth]:
        tables.append(_overall("Against another program's result", others, others))
    return tables


def _overall(title: str, rows: Sequence[Row], with_truth: Sequence[Row]) -> OverallTable:
    """Sums and ratios over `rows`, means over the sets of `with_truth` that every engine ran on."""
    names = list(dict.fromkeys(row.name for row in rows))
    found = {(row.set, row.name): row for row in rows}
    sets = list(dict.fromkeys(row.set for row in rows))
    scored = [
        name
        for name in dict.fromkeys(row.set for row in with_truth if row.auc5 is not None)
        if all((name, engine) in found for engine in names)
    ]
    reference = reference_of(rows)
    defined = {figure: _sets_with(figure, scored, names, found) for _, figure, _ in _MEANS}
    lines = []
    for engine in names:
        own = [found[s, engine] for s in sets if (s, engine) in found]
        cells = [str(len(own)), f"{sum(r.registered for r in own)} of {sum(r.photos for r in own)}"]
        shares = [row.registered_share for row in own if row.registered_share is not None]
        cells.append(f"{mean(shares):.1f}" if shares else NONE)
        for _, figure, show in _MEANS:
            value = _mean([found[s, engine] for s in defined[figure]], figure)
            cells.append(NONE if value is None else show(value))
        for _, figure in _RATIOS:
            ratio = _ratio(found, sets, (engine, reference), figure)
            cells.append(NONE if ratio is None else number(ratio, 2))
        lines.append(Line(engine, tuple(map(Cell, cells))))
    counts = [len(of) if 0 < len(of) < len(scored) else None for of in defined.values()]
    padded = (*(None for _ in _OF_ITS_OWN), *counts, *(None for _ in _RATIOS))
    return OverallTable(title, len(scored), padded, tuple(lines), _parts(lines, _OVERALL_PARTS))


def _sets_with(
    figure: str, sets: Sequence[str], names: Sequence[str], found: Mapping[tuple[str, str], Row]
) -> list[str]:
    """Sets on which the figure is defined: some engine with a model has it."""
    return [
        name
        for name in sets
        if any(
            row.is_ok and getattr(row, figure) is not None
            for row in (found[name, engine] for engine in names)
        )
    ]


def _mean(rows: Sequence[Row], figure: str) -> Number:
    """A share without a model is 0; of other figures there is no mean where one is missing."""
    values = [_counted(row, figure) for row in rows]
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def _counted(row: Row, figure: str) -> Number:
    value: Number = getattr(row, figure)
    if row.is_ok:
        return value
    return None if figure in _UNDEFINED_WITHOUT_MODEL else value or 0.0


def _ratio(
    found: Mapping[tuple[str, str], Row], sets: Sequence[str], names: tuple[str, str], figure: str
) -> Number:
    """Geometric mean of one engine's figure over another's, over the sets on which both finished."""
    logs = []
    for name in sets:
        both = [found[name, engine] for engine in names if (name, engine) in found]
        if len(both) < 2 or not all(row.is_ok for row in both):
            continue
        mine, theirs = (getattr(row, figure) for row in both)
        if mine and theirs:
            logs.append(math.log(mine / theirs))
    return math.exp(mean(logs)) if logs else None
