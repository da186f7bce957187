"""The JSON file of a bench: rows and medians, with the machine, the versions and the command measured."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pycolmap

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ROOT = Path(__file__).resolve().parent.parent.parent
_PRIVATE = ("--cache", "--data", "--datasets")
"""Options that only say where things lie."""


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
            shown.append(argument.replace(f"{_ROOT}{os.sep}", ""))
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
            ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
