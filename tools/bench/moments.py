"""When the figures of rows were measured: stored runs and databases may be older than their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rows import Row


def measured_when(rows: Sequence[Row]) -> str:
    """The days of runs and of the databases that COLMAP's mappers share, in a line; empty without rows."""
    ran = [row for row in rows if not row.skipped]
    shared = [row for row in ran if row.engine != "ours" and row.choice != "own" and row.match_s is not None]
    told = [
        ("runs", [row.measured_on for row in ran]),
        ("photos described for COLMAP's mappers", [row.described_on for row in shared]),
        ("their pairs matched", [row.matched_on for row in shared]),
    ]
    return "; ".join(f"{what} {_days(days)}" for what, days in told if days)


def _days(days: Iterable[str | None]) -> str:
    found = set(days)
    known = sorted(day for day in found if day)
    if not known:
        return "at a time not recorded"
    span = f"on {known[0]}" if len(known) == 1 else f"from {known[0]} to {known[-1]}"
    return f"{span}, some at a time not recorded" if None in found else span
