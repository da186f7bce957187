"""Results as a text table."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from metrics.rows import Number, Row

T = TypeVar("T")


def number(value: Number, digits: int) -> str:
    """A figure as a cell; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def spread(row: Row, figure: str, digits: int) -> str:
    """A median with least and most over the seeds where these can be told apart."""
    middle = number(getattr(row, figure), digits)
    low, high = (f"{value:.{digits}f}" for value in row.spread.get(figure, (0.0, 0.0)))
    return middle if low == high else f"{middle} [{low}..{high}]"


def aligned(rows: Sequence[T], columns: Sequence[tuple[str, Callable[[T], str]]]) -> str:
    """A line a row below one of titles, columns as wide as needed."""
    cells = [[title for title, _ in columns]] + [[show(row) for _, show in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _pairs(row: Row) -> str:
    if row.pairs is None:
        return "-"
    return f"{row.pairs} ({100 * row.pairs_share:.0f}%)" if row.pairs_share is not None else str(row.pairs)


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("set", lambda row: row.set),
    ("N", lambda row: str(row.photos)),
    ("engine", lambda row: row.name),
    ("seed", lambda row: f"med {row.num_seeds}" if row.seed is None else str(row.seed)),
    ("reg", lambda row: spread(row, "registered", 0)),
    ("models", lambda row: "+".join(map(str, row.models)) or "none"),
    ("AUC@1", lambda row: spread(row, "auc1", 1) + ("*" if row.unmeasured_truth else "")),
    ("AUC@3", lambda row: spread(row, "auc3", 1)),
    ("AUC@5", lambda row: spread(row, "auc5", 1)),
    ("ATE", lambda row: "-" if row.ate is None else f"{row.ate:.4g}"),
    ("wrong", lambda row: number(row.wrong_model, 0)),
    ("agree %", lambda row: spread(row, "agreement", 0)),
    ("px", lambda row: number(row.reprojection_px, 2)),
    ("track", lambda row: number(row.track_length, 1)),
    ("pairs", _pairs),
    ("descr s", lambda row: number(row.describe_s, 1)),
    ("match s", lambda row: number(row.match_s, 1)),
    ("map s", lambda row: number(row.map_s, 1)),
    ("total s", lambda row: spread(row, "total_s", 1)),
    ("CPU s", lambda row: f"{row.cpu_s:.0f}"),
    ("MB", lambda row: f"{row.peak_memory_mb:.0f}"),
    ("status", lambda row: row.status),
)


def render(rows: Sequence[Row]) -> str:
    """A line a row, columns as wide as needed; `*` marks a truth that is another program's result."""
    return aligned(rows, _COLUMNS)
