"""Documents from outside: text, JSON and lines of values, read within bounds of size, depth and digits."""

import csv
import json
import logging
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sfm.errors import InputError, SfmError

log = logging.getLogger(__name__)

MAX_DOCUMENT_BYTES = 1 << 30
MAX_DEPTH = 64
"""Nothing that we read nests deeper than ten."""
MAX_LINE_LETTERS = 10_000
"""More than any line with a photo's name and numbers has."""
_MAX_DIGITS = 300
_MANY_DIGITS = re.compile(rf"\d{{{_MAX_DIGITS + 1}}}")
_STRANGE_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")


def read_text(
    path: Path,
    *,
    option: str = "",
    what: str = "a text file",
    errors: str = "strict",
    error: type[SfmError] = InputError,
    binary: bool = False,
) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        option: the option that names the file, and `what` it should be, for messages.
        errors: `surrogateescape` where names of files in it need not be valid UTF-8.
        binary: whether zero bytes are accepted, for files whose every line is checked.

    Raises:
        SfmError: `error`, where the file cannot be read, is larger than 1 GB, or no text.
    """
    prefix = f"{option}: " if option else ""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or str(problem)
        raise error(f"{prefix}cannot read {path}: {why}") from problem
    if len(data) > MAX_DOCUMENT_BYTES:
        raise error(f"{prefix}{path} is larger than {MAX_DOCUMENT_BYTES >> 30} GB: it is not {what}")
    try:
        text = data.decode("utf-8-sig", errors=errors)
    except UnicodeDecodeError as problem:
        raise error(f"{prefix}{path} is not {what}: byte {problem.start} is not UTF-8") from problem
    if "\0" in text and not binary:
        raise error(f"{prefix}{path} is not {what}: it holds zero bytes")
    return text


def read_json(
    path: Path,
    *,
    option: str = "",
    errors: str = "strict",
    error: type[SfmError] = InputError,
    hint: str = "",
) -> Any:
    """The value of a JSON file; arguments as for `read_text`.

    Raises:
        SfmError: `error`, where the file cannot be read, or `parsed_json` refuses its text.
    """
    text = read_text(path, option=option, what="a JSON file", errors=errors, error=error)
    try:
        return parsed_json(text)
    except json.JSONDecodeError as problem:
        raise error(f"{path}:{problem.lineno}: not valid JSON: {problem.msg}", hint=hint) from problem
    except ValueError as problem:
        raise error(f"{path}: not valid JSON: {problem}", hint=hint) from problem


def parsed_json(text: str) -> Any:
    """The value of a JSON text, none of whose parts can harm who handles it.

    Raises:
        ValueError: not JSON, nested too deeply, a key twice in one object, an integer that no float can hold,
            or text that no file name can hold; names the reason.
    """
    if _MANY_DIGITS.search(text):
        raise ValueError(f"a number of more than {_MAX_DIGITS} digits")
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    if _STRANGE_ESCAPE.search(text):
        _check_texts(value)
    return value


def json_lines(text: str) -> Iterator[Any | None]:
    """The value of each line that is not empty; None where it is no JSON."""
    for line in text.split("\n"):
        if line.strip():
            try:
                yield parsed_json(line)
            except ValueError:
                yield None


def split_line(line: str, separator: str | None) -> list[str]:
    """The values of a line of at most `MAX_LINE_LETTERS`, parted by blanks or by a separator with quotes."""
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator), [])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} occurs twice in one object")
    return found


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [part for whole in level for part in _parts(whole)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep")


def _check_texts(value: Any) -> None:
    level = [value]
    while level:
        for part in level:
            for text in part if isinstance(part, dict) else (part,):
                if isinstance(text, str) and not _is_name(text):
                    raise ValueError(f"the text {text[:60]!r}, which no file name can hold")
        level = [part for whole in level for part in _parts(whole)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_name(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def read_cache(path: Path, shape: Any) -> Any | None:
    """Content of a JSON file of our own cache; None where there is none, or, with a warning, a damaged one.

    `shape` is its expected form, see `fits`.
    """
    if not path.exists():
        return None
    try:
        content = read_json(path, errors="surrogateescape")
    except InputError as error:
        log.warning("%s; it is made again", error)
        return None
    if not fits(content, shape):
        log.warning("%s is damaged; it is made again", path)
        return None
    return content


def fits(value: Any, shape: Any) -> bool:
    """Whether a JSON value has a shape.

    A shape is a type (float: any finite number; object: anything) or a tuple of alternatives. [shape] is for
    lists of any length, {str: shape} for objects of any keys. {"key": shape, "key?": shape} is
    for objects with these keys, the second of which may be missing, and any others.
    """
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(part, shape[0]) for part in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and _has_keys(value, shape)
    if shape is float:
        return type(value) in (int, float) and math.isfinite(value)
    return shape is object or value is shape or type(value) is shape


def _has_keys(value: dict[str, Any], shape: dict[Any, Any]) -> bool:
    if str in shape:
        return all(fits(part, shape[str]) for part in value.values())
    missing = object()
    for key, expected in shape.items():
        found = value.get(key.removesuffix("?"), missing)
        if found is missing and not key.endswith("?"):
            return False
        if found is not missing and not fits(found, expected):
            return False
    return True
