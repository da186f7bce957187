"""YAML files of the benches, checked against the dataclasses that describe them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from harness.shortened import shortened
from sfm.errors import InputError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")
_MAX_SHOWN = 8
_MAX_CHARACTERS = 60


def read_checked(path: Path, kind: type[T]) -> T:
    """The content of a file as `kind`, a dataclass that forbids what it does not name.

    Raises:
        InputError: the file cannot be read or is no YAML, or naming each key that is wrong or missing.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return TypeAdapter(kind).validate_python(content, strict=False)
    except ValidationError as error:
        raise refused(path, error) from error


def refused(path: Path, error: ValidationError, *above: int | str) -> InputError:
    """An error with a line for each key that is wrong; `above` are the keys that lead to what was checked."""
    lines = [_problem(path, (*above, *problem["loc"]), _message(problem)) for problem in error.errors()]
    return InputError("\n".join(lines[:_MAX_SHOWN]))


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "tuple_type":
        return f"a list is expected, as [first, second], found {_short(problem['input'])}"
    if problem["type"] == "dataclass_type":  # whose name means nothing to those who wrote the file
        return f"keys with values are expected, found {_short(problem['input'])}"
    return problem["msg"]


def _short(value: object) -> str:
    return "nothing" if value is None else shortened(repr(value), _MAX_CHARACTERS)


def _problem(path: Path, place: tuple[int | str, ...], message: str) -> str:
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    return f"{path}: {key or 'the file'}: {message}"
