"""The report as Markdown tables, for people who read it where no browser is."""

from collections.abc import Callable, Sequence
from typing import Any

from metrics.rows import Row
from metrics.table import aligned

from page.published import PublishedTable
from page.results import Results, agreement_notes, provenance
from page.tables import NONE, OVERALL_COLUMNS, SET_COLUMNS, Line, overall_tables, set_tables

Published = Sequence[tuple[PublishedTable, Sequence[Any]]]


def figure(value: float | None, digits: int = 6) -> str:
    """A figure with so many digits that matter; a dash where there is none."""
    return NONE if value is None else f"{value:.{digits}g}"


def markdown(results: Results, medians: Sequence[Row], published: Published) -> str:
    """Everything that the page tells, without its charts."""
    parts = ["# Benchmarks", "\n".join(f"- {key}: {value}" for key, value in provenance(results))]
    for table in overall_tables(medians):
        lines = [[line.name, *(cell.text for cell in line.cells)] for line in table.lines]
        parts += [
            f"## {table.title}",
            f"Means over {table.num_scored} sets with truth, or as many as a title says.",
        ]
        titles = [
            title if count is None else f"{title} ({count} set{'' if count == 1 else 's'})"
            for title, count in zip(OVERALL_COLUMNS, table.counts, strict=True)
        ]
        parts.append(_grid(["engine", *titles], lines))
    parts += ["## Sets", _sets(medians)]
    parts += [f"{name}: {note}" for name, note in agreement_notes(results).items()]
    parts += ["## Published by others: not measured here"]
    for published_table, own in published:
        parts += _published(published_table, own)
    return "\n\n".join(parts) + "\n"


def _sets(medians: Sequence[Row]) -> str:
    if not medians:
        return "None measured."
    lines = [
        [t.name, str(t.photos), t.truth, line.name, *_cells(line), line.note or "ok"]
        for t in set_tables(medians)
        for line in t.lines
    ]
    return _grid(["set", "photos", "truth", "engine", *SET_COLUMNS, "status"], lines)


def _cells(line: Line) -> list[str]:
    return [
        (f"**{cell.text}**" if cell.best else cell.text) + (f" [{cell.spread}]" if cell.spread else "")
        for cell in line.cells
    ]


def _published(table: PublishedTable, own: Sequence[Any]) -> list[str]:
    rows = [[row.method, *map(figure, row.values)] for row in table.rows]
    rows += [[f"{row.method} (measured here)", *map(figure, row.values)] for row in own]
    source = f"{table.protocol}. Source: {table.source} ({table.confidence})."
    parts = [f"### {table.title}", source, _grid(["method", *table.columns], rows)]
    return [*parts, f"Note: {table.note}."] if table.note else parts


def _grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [["---"] * len(titles), *([text.replace("|", "\\|") for text in row] for row in rows)]
    columns = [(f"| {title}", _column(i, len(titles))) for i, title in enumerate(titles)]
    head, *rest = aligned(cells, columns).splitlines()
    return "\n".join([f"{head} |", *rest])


def _column(index: int, count: int) -> Callable[[Sequence[str]], str]:
    end = " |" if index == count - 1 else ""
    return lambda row: f"| {row[index]}{end}"
