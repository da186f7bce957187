"""One run of one mapper on one database, its table, and medians with their spread over seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median

from metrics.rows import Number
from metrics.table import aligned, number

_SPREAD = ("right", "auc1", "seconds")
_WORST = ("wrong", "unflagged", "false_pairs")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapperRow:
    """Figures of one run; None where there is nothing to measure."""

    case: str
    engine: str
    seed: int | None
    """None in a median."""
    status: str = "ok"
    """`ok`, `no model`, or why there is no result."""
    photos: int = 0
    models: tuple[int, ...] = ()
    """Photos of each model, largest first."""
    registered: int = 0
    """Photos in any model."""
    right: int | None = None
    """In the largest model; see `mapper_scores.Scores`, also for the next four."""
    right_in_any: int | None = None
    wrong: int | None = None
    unflagged: int | None = None
    """Wrong photos of which the mapper says nothing; a peer never does."""
    flagged: int = 0
    false_pairs: int | None = None
    """Known look-alike pairs that the models rest on, where any are known."""
    auc1: Number = None
    auc3: Number = None
    auc5: Number = None
    ate: Number = None
    """In units of the extent."""
    ate_ratio: Number = None
    """Of ours to the better peer's of the same seed, over the photos that are right in both; rows of ours."""
    with_incremental: Number = None
    """Share of incremental's photos (same seed) that are in the same place here, per cent."""
    with_global: Number = None
    seconds: float = 0.0
    """Of mapping alone, wall clock, like the next."""
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    """Of the process."""
    spread: str = ""
    """Least to most over the seeds, of what varies; medians only."""


_COLUMNS: tuple[tuple[str, Callable[[MapperRow], str]], ...] = (
    ("case", lambda row: row.case),
    ("N", lambda row: str(row.photos)),
    ("mapper", lambda row: row.engine),
    ("seed", lambda row: "med" if row.seed is None else str(row.seed)),
    ("reg", lambda row: str(row.registered)),
    ("models", lambda row: "+".join(map(str, row.models[:6])) + ("+…" if len(row.models) > 6 else "")),
    ("right", lambda row: number(row.right, 0)),
    ("any", lambda row: number(row.right_in_any, 0)),
    ("wrong", lambda row: number(row.wrong, 0)),
    ("unfl", lambda row: number(row.unflagged, 0)),
    ("false", lambda row: number(row.false_pairs, 0)),
    ("AUC@1", lambda row: number(row.auc1, 1)),
    ("@3", lambda row: number(row.auc3, 1)),
    ("@5", lambda row: number(row.auc5, 1)),
    ("ATE %", lambda row: number(None if row.ate is None else 100 * row.ate, 3)),
    ("ATE/peer", lambda row: number(row.ate_ratio, 2)),
    ("=incr", lambda row: number(row.with_incremental, 0)),
    ("=glob", lambda row: number(row.with_global, 0)),
    ("s", lambda row: f"{row.seconds:.1f}"),
    ("CPU s", lambda row: f"{row.cpu_s:.0f}"),
    ("MB", lambda row: f"{row.peak_memory_mb:.0f}"),
    ("status", lambda row: row.status if row.seed is not None else f"{row.status} {row.spread}".strip()),
)


def render(rows: Sequence[MapperRow]) -> str:
    """A line a row, columns as wide as needed."""
    return aligned(rows, _COLUMNS)


def medians(rows: Sequence[MapperRow]) -> list[MapperRow]:
    """One row a case and mapper: medians over the seeds, but of what is wrong the most."""
    groups: dict[tuple[str, str], list[MapperRow]] = {}
    for row in rows:
        groups.setdefault((row.case, row.engine), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(group: Sequence[MapperRow]) -> MapperRow:
    middle = sorted(group, key=lambda row: (row.right or 0, row.registered))[(len(group) - 1) // 2]
    values: dict[str, float] = {}
    for field in fields(MapperRow):
        column = [getattr(row, field.name) for row in group]
        if field.name != "seed" and all(isinstance(v, int | float) for v in column):
            values[field.name] = max(column) if field.name in _WORST else median(column)
    ranges = {name: [getattr(row, name) for row in group] for name in _SPREAD}
    told = [
        f"{name} {min(column):.4g}..{max(column):.4g}"
        for name, column in ranges.items()
        if None not in column and min(column) < max(column)
    ]
    failed = [row.status for row in group if row.status != "ok"]
    return replace(
        middle,
        **values,  # type: ignore[arg-type]
        seed=None,
        status=f"{len(failed)} of {len(group)}: {failed[0]}" if failed else "ok",
        spread=", ".join(told),
    )
