"""Result files of `peers.py` and `novel_views.py`, read strictly and put together."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import novel_views
from checked_files import refused
from engines import told_options
from moments import measured_when
from novel_views import ViewRow
from pydantic import TypeAdapter, ValidationError
from rows import Row, median_rows

from sfm.errors import InputError

_PEERS = "peers"
_VIEW_ROW = TypeAdapter(ViewRow)
Source = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Results:
    """What result files hold."""

    rows: tuple[Row, ...]
    sources: tuple[Source, ...]
    """Everything else of each file: machine, versions, commit, command, date."""
    views: tuple[ViewRow, ...] = ()
    replaced: tuple[str, ...] = ()
    """A line for each file whose rows took the place of others that say something else."""

    @property
    def medians(self) -> list[Row]:
        """Over the seeds."""
        return median_rows(self.rows)

    @property
    def view_medians(self) -> list[ViewRow]:
        """Over the seeds."""
        return novel_views.medians(self.views)


def read_results(paths: Sequence[Path]) -> Results:
    """All rows of files; of the same run in several files the last one's counts.

    Raises:
        InputError: a file cannot be read, is of another bench, has no rows, or naming each key that is wrong.
    """
    rows, views = _Merged[Row](), _Merged[ViewRow]()
    sources = []
    for path in paths:
        content = _content(path)
        source = {key: value for key, value in content.items() if key not in ("rows", "medians")}
        if _bench(content, path) == _PEERS:
            rows.take([_row(row, source, path, i) for i, row in enumerate(content["rows"])], path)
        else:
            views.take([_view(row, path, i) for i, row in enumerate(content["rows"])], path)
        sources.append(source)
    replaced = (*rows.replaced, *views.replaced)
    return Results(tuple(rows.rows.values()), tuple(sources), tuple(views.rows.values()), replaced)


def provenance(results: Results) -> list[tuple[str, str]]:
    """What was measured on what and how, each thing told once where all files agree."""
    found: dict[str, list[str]] = {}
    for source in results.sources:
        machine, versions = source.get("machine", {}), source.get("versions", {})
        entries = {
            "machine": f"{machine.get('processor', '')} ({machine.get('platform', 'unknown')})".strip(),
            "cores": _cores(machine.get("cores"), machine.get("threads")),
            "versions": ", ".join(f"{name} {value}" for name, value in versions.items()),
            "commit": source.get("commit", ""),
            "options": " ".join(source.get("options", [])),
            "command": source.get("command", ""),
            "date": source.get("date", ""),
            **{f"engine {name}": note for name, note in source.get("notes", {}).items()},
        }
        for key, text in entries.items():
            if text and text not in found.setdefault(key, []):
                found[key].append(text)
    told = [(key, "; ".join(texts)) for key, texts in found.items() if texts]
    seeds = sorted({row.seed for row in (*results.rows, *results.views) if row.seed is not None})
    told.append(("seeds", ", ".join(map(str, seeds))))
    if when := measured_when(results.rows):
        told.append(("measured", when))
    return told + ([("replaced", "; ".join(results.replaced))] if results.replaced else [])


def _cores(cores: object, threads: object) -> str:
    parts = [] if cores is None else [f"{cores}"]
    return ", ".join(
        parts if threads is None else [*parts, f"each run had {threads} thread{'' if threads == 1 else 's'}"]
    )


_R = TypeVar("_R", Row, ViewRow)


@dataclass(slots=True)
class _Merged(Generic[_R]):
    """Rows by what they are of, and what was replaced."""

    rows: dict[Hashable, _R] = field(default_factory=dict)
    files: dict[Hashable, Path] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)

    def take(self, rows: Sequence[_R], path: Path) -> None:
        """Add the rows of a file."""
        others = []
        for row in rows:
            name = row.name if isinstance(row, Row) else row.engine
            key = (row.set, name, row.seed)
            if key in self.rows and self.files[key] != path and not _same(self.rows[key], row):
                others.append(f"{row.set}, {name}, seed {row.seed} of {self.files[key].name}")
            self.rows[key], self.files[key] = row, path
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            self.replaced.append(f"{path.name} replaces other figures: {others[0]}{more}")


def _same(one: _R, other: _R) -> bool:
    """Whether two rows tell the same of a run, in what both know; agreement hangs on others."""
    first, second = asdict(one), asdict(other)
    return all(
        first[key] == second[key]
        for key in first.keys() - {"agreement"}
        if first[key] is not None and second[key] is not None
    )


def _content(path: Path) -> Mapping[str, Any]:
    hint = "peers.py --out and novel_views.py --out write them"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no results: {error}", hint=hint) from error
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} holds no rows", hint=hint)
    for key, kind in {"machine": dict, "versions": dict, "notes": dict, "options": list}.items():
        if not isinstance(content.get(key, kind()), kind):
            raise InputError(f"{path}: {key}: expected {'a list' if kind is list else 'keys and values'}")
    return content


def _bench(content: Mapping[str, Any], path: Path) -> str:
    """Which bench wrote it; files of before they told it are known by their rows."""
    told = content.get("bench") or (novel_views.BENCH if "localised" in content["rows"][0] else _PEERS)
    if told not in (_PEERS, novel_views.BENCH):
        raise InputError(
            f"{path} holds no rows for this page: {told}.py wrote it",
            hint="the page shows results of peers.py and novel_views.py",
        )
    return str(told)


def _row(content: Mapping[str, Any], source: Source, path: Path, index: int) -> Row:
    try:
        row = dict(content)
        if "variant" not in row and row.get("engine") == "ours":  # files of before rows told it
            row["variant"] = told_options([str(option) for option in source.get("options", [])])
        return Row.read(row)
    except ValidationError as error:
        raise refused(path, error, "rows", index) from error


def _view(content: Mapping[str, Any], path: Path, index: int) -> ViewRow:
    try:
        known = ViewRow.__dataclass_fields__
        return _VIEW_ROW.validate_python({key: value for key, value in content.items() if key in known})
    except ValidationError as error:
        raise refused(path, error, "rows", index) from error
