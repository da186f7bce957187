"""A result file as JSON, its head and numbers checked; what rows must hold is for those who know them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from checked_files import refused
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sfm.errors import InputError

Content = Mapping[str, Any]
_HINT = "peers.py --out, novel_views.py --out and others write them"
_MAX_SHOWN = 8
_LARGEST = 1e15
"""Ratios and means of figures beyond it overflow."""


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Head:
    """What a file says besides its rows."""

    bench: str = ""
    machine: dict[str, str | int | float | None] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    command: str = ""
    date: str = ""
    options: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)


_HEAD = TypeAdapter(_Head)


def read_content(path: Path) -> Content:
    """The file's JSON: `rows` is a list of objects, at least one, the head is of the right types, and all
    numbers are finite.

    Raises:
        InputError: the file cannot be read or has no rows, or naming each key that is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} holds no results: {error}", hint=_HINT) from error
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} holds no rows", hint=_HINT)
    try:
        _HEAD.validate_python(
            {key: value for key, value in content.items() if key not in ("rows", "medians")}
        )
    except ValidationError as error:
        raise refused(path, error) from error
    if wrong := list(_not_finite(content)):
        raise InputError(
            "\n".join(
                f"{path}: {key}: a finite number below {_LARGEST:g} is expected" for key in wrong[:_MAX_SHOWN]
            )
        )
    return content


def _not_finite(value: object, key: str = "") -> Iterator[str]:
    """Keys of numbers that are infinite, too large to be a figure of anything here, or none at all."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _not_finite(entry, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            yield from _not_finite(entry, f"{key}[{i}]")
    elif isinstance(value, int | float) and not abs(value) <= _LARGEST:  # NaN is not, either
        yield key
