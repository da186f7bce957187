"""Results as a text table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rows import Number, Row


def _number(value: Number, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("set", lambda row: row.set),
    ("N", lambda row: str(row.photos)),
    ("engine", lambda row: row.engine),
    ("seed", lambda row: "median" if row.seed is None else str(row.seed)),
    ("reg", lambda row: str(row.registered)),
    ("models", lambda row: "+".join(map(str, row.models)) or "none"),
    ("AUC@1", lambda row: _number(row.auc1, 1) + ("*" if row.unmeasured_truth else "")),
    ("AUC@3", lambda row: _number(row.auc3, 1)),
    ("AUC@5", lambda row: _number(row.auc5, 1)),
    ("ATE", lambda row: "-" if row.ate is None else f"{row.ate:.4g}"),
    ("wrong", lambda row: _number(row.wrong_model, 0)),
    ("px", lambda row: _number(row.reprojection_px, 2)),
    ("track", lambda row: _number(row.track_length, 1)),
    ("pairs", lambda row: f"{row.pairs} ({100 * row.pairs_share:.0f}%)"),
    ("descr s", lambda row: f"{row.describe_s:.1f}"),
    ("match s", lambda row: f"{row.match_s:.1f}"),
    ("map s", lambda row: f"{row.map_s:.1f}"),
    ("total s", lambda row: f"{row.total_s:.1f}"),
    ("CPU s", lambda row: f"{row.cpu_s:.0f}"),
    ("MB", lambda row: f"{row.peak_memory_mb:.0f}"),
    ("status", lambda row: row.status),
)


def render(rows: Sequence[Row]) -> str:
    """A line a row, columns as wide as needed; `*` marks a truth that is another program's result."""
    cells = [[title for title, _ in _COLUMNS]] + [[show(row) for _, show in _COLUMNS] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )
