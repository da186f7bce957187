"""Result files of `peers.py` that the page shows, read strictly and put together."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from engines.settings import told_options
from harness.checked_files import refused
from harness.result_file import Content, read_content
from metrics.rows import Row, measured_when, median_rows
from pydantic import ValidationError

from sfm.errors import InputError

Source = Content


@dataclass(frozen=True, slots=True)
class Results:
    """What result files hold."""

    rows: tuple[Row, ...]
    sources: tuple[Source, ...]
    """Everything else of each file: machine, versions, commit, command, date."""
    origins: tuple[int, ...] = ()
    """Of each of `rows`, which of `sources` it is from."""
    replaced: tuple[str, ...] = ()
    """A line for each file whose rows took the place of others that say something else."""

    @property
    def medians(self) -> list[Row]:
        """Over the seeds."""
        return median_rows(self.rows)


def read_results(paths: Sequence[Path]) -> Results:
    """All rows of files; of the same run in several files the last one's counts.

    Raises:
        InputError: a file cannot be read, is of another bench, has no rows, or naming each key that is wrong.
    """
    merged = _Merged()
    sources = []
    for path in paths:
        content = read_content(path)
        source = {key: value for key, value in content.items() if key not in ("rows", "medians")}
        if (bench := content.get("bench") or "peers") != "peers":
            told = f"{path} holds no rows for this page: {bench}.py wrote it"
            raise InputError(told, hint="the page shows results of peers.py")
        merged.take([_row(row, source, path, i) for i, row in enumerate(content["rows"])], path)
        sources.append(source)
    origins = tuple(list(paths).index(path) for path in merged.files.values())
    return Results(tuple(merged.rows.values()), tuple(sources), origins, tuple(merged.replaced))


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
    seeds = sorted({row.seed for row in results.rows if row.seed is not None})
    told.append(("seeds", ", ".join(map(str, seeds))))
    if when := measured_when(results.rows):
        told.append(("measured", when))
    return told + ([("replaced", "; ".join(results.replaced))] if results.replaced else [])


def agreement_notes(results: Results) -> dict[str, str]:
    """A sentence for each set whose engines come from several files: their poses were never compared."""
    groups: dict[str, dict[int, dict[str, bool]]] = {}
    for row, origin in zip(results.rows, results.origins, strict=True):
        if row.is_ok:
            names = groups.setdefault(row.set, {}).setdefault(origin, {})
            names[row.name] = names.get(row.name, False) or row.agreement is not None
    return {name: _compared(files.values()) for name, files in groups.items() if len(files) > 1}


def _compared(files: Iterable[dict[str, bool]]) -> str:
    parts, without = [], []
    for names in files:
        if compared := [name for name, known in names.items() if known]:
            parts.append(f"{_quoted(compared)} {'in another' if parts else 'in one'}")
        without += [name for name, known in names.items() if not known]
    if without:
        parts.append(f"{_quoted(without)} without any, alone in a file")
    return f"Agreement is among the engines of one results file: {'; '.join(parts)}."


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _cores(cores: object, threads: object) -> str:
    parts = [] if cores is None else [f"{cores}"]
    return ", ".join(
        parts if threads is None else [*parts, f"each run had {threads} thread{'' if threads == 1 else 's'}"]
    )


@dataclass(slots=True)
class _Merged:
    """Rows by what they are of, and what was replaced."""

    rows: dict[Hashable, Row] = field(default_factory=dict)
    files: dict[Hashable, Path] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)

    def take(self, rows: Sequence[Row], path: Path) -> None:
        """Add the rows of a file."""
        others = []
        for row in rows:
            key = (row.set, row.name, row.seed)
            if key in self.rows and self.files[key] != path and not _same(self.rows[key], row):
                others.append(f"{row.set}, {row.name}, seed {row.seed} of {self.files[key].name}")
            self.rows[key], self.files[key] = row, path
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            self.replaced.append(f"{path.name} replaces other figures: {others[0]}{more}")


def _same(one: Row, other: Row) -> bool:
    """Whether two rows tell the same of a run, in what both know; agreement hangs on others."""
    first, second = asdict(one), asdict(other)
    return all(
        first[key] == second[key]
        for key in first.keys() - {"agreement"}
        if first[key] is not None and second[key] is not None
    )


def _row(content: Mapping[str, Any], source: Source, path: Path, index: int) -> Row:
    try:
        row = Row.read(_with_variant(content, source))
    except ValidationError as error:
        raise refused(path, error, "rows", index) from error
    for f in fields(row):
        value = getattr(row, f.name)
        if isinstance(value, int | float) and value < 0:
            raise InputError(f"{path}: rows[{index}].{f.name}: a figure is not negative, found {value}")
    return row


def _with_variant(row: Mapping[str, Any], source: Source) -> Mapping[str, Any]:
    """The row, with the options of its file where that is of before rows told them."""
    if "variant" in row or row.get("engine") != "ours":
        return row
    return {**row, "variant": told_options(source.get("options", []))}
