"""Figures that others have published, from `published.yaml`: with their source, and never among ours."""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean
from typing import Literal

from harness.checked_files import read_checked
from metrics.rows import Row
from photo_sets import DATASETS
from photo_sets.registry import listed_scenes
from photo_sets.sets import set_name
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from sfm.errors import InputError

PUBLISHED = Path(__file__).resolve().parent / "published.yaml"
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class PublishedRow:
    """Figures of one method; None where the source has none."""

    method: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, config=_STRICT)
class Counterpart:
    """Sets that follow the same protocol when somebody measures them here: `DATASET:GROUP[@SUBSET]`."""

    dataset: str
    group: str
    figures: tuple[str | None, ...]
    """Field of `rows.Row` for each column; None where ours is another figure, or of other sets."""
    subset: str = ""
    """Empty for all photos of each scene."""

    @property
    def sets(self) -> frozenset[str]:
        """The names of all of them; with fewer there is no mean to show."""
        dataset = DATASETS.get(self.dataset)
        scenes = listed_scenes(dataset, self.group) if dataset else ()
        return frozenset(set_name(self.dataset, scene, self.subset) for scene in scenes)


@dataclass(frozen=True, config=_STRICT)
class PublishedTable:
    """One table of one source."""

    id: str
    title: str
    protocol: str
    source: str
    confidence: Literal["read", "recalled"]
    """Whether somebody read the figures in the source, or wrote them down from memory."""
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    note: str = ""
    measured: tuple[Counterpart, ...] = ()
    """Of all columns, or of some each."""


@dataclass(frozen=True, config=_STRICT)
class _File:
    tables: tuple[PublishedTable, ...]


def read_published(path: Path = PUBLISHED) -> tuple[PublishedTable, ...]:
    """The tables of a file, checked.

    Raises:
        InputError: naming the table and what is wrong with it.
    """
    tables = read_checked(path, _File).tables
    known = {*(field.name for field in fields(Row)), "registered_share"}
    for table in tables:
        where = f"{path}: table {table.id!r}"
        if [other.id for other in tables].count(table.id) > 1:
            raise InputError(f"{where} is there twice")
        widths = {row.method: len(row.values) for row in table.rows}
        for measured in table.measured:
            asked = f"{measured.dataset}:{measured.group}"
            widths[f"measured, {asked}"] = len(measured.figures)
            if unknown := {f for f in measured.figures if f is not None} - known:
                raise InputError(f"{where}: measured.figures: no such figure: {', '.join(sorted(unknown))}")
            if not measured.sets:
                raise InputError(f"{where}: measured: no list of scenes has {asked}")
        for name, width in widths.items():
            if width != len(table.columns):
                raise InputError(f"{where}: {name}: {width} values for {len(table.columns)} columns")
        for row in table.rows:
            if not all(value is None or (math.isfinite(value) and value >= 0) for value in row.values):
                raise InputError(f"{where}: {row.method}: figures are finite and not negative")
    return tables


def counterparts(table: PublishedTable, medians: Sequence[Row]) -> tuple[PublishedRow, ...]:
    """Means of what was measured here by the same protocol, an engine a row; none where a set is missing."""
    found: dict[str, list[float | None]] = {}
    for measured in table.measured:
        for name, values in _means(measured, medians).items():
            old = found.setdefault(name, [None] * len(values))
            found[name] = [o if v is None else v for o, v in zip(old, values, strict=True)]
    return tuple(PublishedRow(name, tuple(values)) for name, values in found.items())


def _means(measured: Counterpart, medians: Sequence[Row]) -> dict[str, list[float | None]]:
    groups: dict[str, dict[str, Row]] = {}
    sets = measured.sets
    for row in medians:
        if row.set in sets and not row.skipped:
            groups.setdefault(row.name, {})[row.set] = row
    return {
        name: [_mean([rows[s] for s in sorted(sets)], figure) for figure in measured.figures]
        for name, rows in groups.items()
        if sets <= rows.keys()
    }


def _mean(rows: Sequence[Row], figure: str | None) -> float | None:
    values = [None if figure is None else getattr(row, figure) for row in rows]
    known = [float(value) for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None
