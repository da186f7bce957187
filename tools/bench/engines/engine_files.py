"""Engines that a user has installed, told by a YAML file; each ends in a COLMAP model.

See `engines.example.yaml`. A command is a list of arguments that no shell reads; `{photos}`, `{out}`,
`{threads}` and `{seed}` are put in, anything else in braces is refused.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from pathlib import Path, PurePosixPath

from harness.checked_files import read_checked
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from sfm.errors import InputError

PLACEHOLDERS = ("photos", "out", "threads", "seed")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+]*")
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class ExternalEngine:
    """One engine and how it is called."""

    name: str
    """As the tables show it: letters, digits, `.`, `_` and `+`."""
    command: tuple[str, ...]
    """Program and arguments; the current folder is the one that `{out}` names, made empty before."""
    model: str = "."
    """Where below `{out}` the model is: a folder with images.bin or images.txt, or one of numbered models."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Changes of the environment; placeholders are put in here, too."""
    time_limit_s: float | None = None
    """In place of the limit of all runs, like the next."""
    memory_limit_gb: float | None = None
    note: str = ""
    """What the report says of it: version, weights, device."""


@dataclass(frozen=True, config=_STRICT)
class _File:
    engines: tuple[ExternalEngine, ...]


def read_engines(path: Path, *, taken: tuple[str, ...] = ()) -> tuple[ExternalEngine, ...]:
    """The engines of a file, checked.

    Args:
        path: of the file.
        taken: names that no engine of a file may have.

    Raises:
        InputError: naming what is wrong with which engine.
    """
    engines = read_checked(path, _File).engines
    names = [engine.name for engine in engines]
    for i, engine in enumerate(engines):
        where = f"{path}: engines[{i}] ({engine.name})"
        if not _NAME.fullmatch(engine.name):
            raise InputError(f"{where}: a name has letters, digits, '.', '_' and '+' only")
        if engine.name in taken or names.count(engine.name) > 1:
            raise InputError(f"{where}: the name is taken; choose another")
        if not engine.command:
            raise InputError(f"{where}: the command is empty")
        if not any("{out}" in word for word in (*engine.command, *engine.env.values())):
            raise InputError(f"{where}: neither command nor env names {{out}}, where the model is looked for")
        inside = PurePosixPath(engine.model)
        if inside.is_absolute() or ".." in inside.parts:
            raise InputError(f"{where}: model must be a path below {{out}}, found {engine.model!r}")
        for limit in (engine.time_limit_s, engine.memory_limit_gb):
            if limit is not None and not limit > 0:
                raise InputError(f"{where}: limits are positive numbers, found {limit}")
        for word in (*engine.command, *engine.env.values()):
            _filled(word, dict.fromkeys(PLACEHOLDERS, ""), where)
    return engines


def filled_command(
    engine: ExternalEngine, values: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Command and environment with the placeholders put in; `values` has all of `PLACEHOLDERS`."""
    command = tuple(_filled(word, values, engine.name) for word in engine.command)
    return command, {key: _filled(text, values, engine.name) for key, text in engine.env.items()}


def command_files(engine: ExternalEngine) -> tuple[tuple[str, str], ...]:
    """Path and SHA-256 of the program and of each file that its arguments name by an absolute path.

    A script that is mended is another engine; what a script calls cannot be told from here.
    """
    words = [shutil.which(engine.command[0]) or "", *filter(os.path.isabs, engine.command[1:])]
    files = [Path(word) for word in words if os.path.isfile(word) and os.access(word, os.R_OK)]
    return tuple((str(file), _digest(file, file.stat().st_mtime_ns)) for file in files)


@cache
def _digest(file: Path, mtime_ns: int) -> str:
    """The time is there to read a file again that changed."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _filled(text: str, values: Mapping[str, str], where: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise InputError(f"{where}: unknown placeholder {found[0]} in {text!r}; there are {known}")
        return values[found[1]]

    return _PLACEHOLDER.sub(value, text)
