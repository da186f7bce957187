"""The report as Markdown tables, for people who read it where no browser is."""

from collections.abc import Callable, Sequence

from metrics.rows import Row
from metrics.table import aligned

from page.results import Results, agreement_notes, provenance
from page.tables import OVERALL_COLUMNS, SET_COLUMNS, Line, overall_tables, set_tables


def markdown(results: Results, medians: Sequence[Row]) -> str:
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


def _grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [["---"] * len(titles), *([text.replace("|", "\\|") for text in row] for row in rows)]
    columns = [(f"| {title}", _column(i, len(titles))) for i, title in enumerate(titles)]
    head, *rest = aligned(cells, columns).splitlines()
    return "\n".join([f"{head} |", *rest])


def _column(index: int, count: int) -> Callable[[Sequence[str]], str]:
    end = " |" if index == count - 1 else ""
    return lambda row: f"| {row[index]}{end}"
