"""The JSON file of a bench: rows and medians, with the machine, the versions and the command measured.

Reading checks its head and its numbers; what rows must hold is for those who know them.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycolmap
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from harness.checked_files import refused
from harness.paths import ROOT
from sfm.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PRIVATE = ("--cache", "--data", "--datasets")
"""Options that only say where things lie."""
Content = Mapping[str, Any]
_HINT = "peers.py --out writes them"
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


def write_results(
    path: Path,
    rows: Sequence[DataclassInstance],
    medians: Sequence[DataclassInstance],
    *,
    bench: str,
    threads: int,
    options: Sequence[str],
    **more: object,
) -> None:
    """Replace the file; its folder is made when missing.

    Args:
        path: of the file.
        rows: of single runs.
        medians: over their seeds.
        bench: which wrote it, for those who read it.
        threads: that each run had.
        options: changes to the configuration, `KEY=VALUE`.
        more: further entries, JSON values.

    The command ends with a message where the file cannot be written.
    """
    content = {
        "bench": bench,
        **provenance(threads),
        "options": list(options),
        "rows": [asdict(row) for row in rows],
        "medians": [asdict(row) for row in medians],
        **more,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:  # a full disk, a folder that went away
        kept = "finished runs are kept: the same command goes on from there"
        raise SystemExit(f"error: {path} cannot be written: {error.strerror} ({kept})") from error


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


def provenance(threads: int) -> dict[str, object]:
    """On what, of what, when and how something was measured, as JSON values."""
    return {
        "machine": {
            "platform": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": threads,
        },
        "versions": {"python": platform.python_version(), "pycolmap": pycolmap.__version__},
        "commit": _commit(),
        "command": shlex.join(["python", *_shown_arguments()]),
        "date": today(),
    }


def today() -> str:
    """The day in UTC, as 2026-01-31."""
    return datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")


def _shown_arguments() -> list[str]:
    """The command line without folders of this machine, which change no figure."""
    shown: list[str] = []
    arguments = iter(sys.argv)
    for argument in arguments:
        if argument in _PRIVATE:
            next(arguments, None)
        elif not argument.startswith(tuple(f"{option}=" for option in _PRIVATE)):
            shown.append(argument.replace(f"{ROOT}{os.sep}", ""))
    return shown


def _processor() -> str:
    """Its name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """Short hash of the source, with a plus where it was changed since; empty outside a repository.

    Files that git does not know change nothing: results and reports lie among them.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
