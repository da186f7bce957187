"""Reading a configuration: defaults, then a preset, then a file, then `key=value` from the command line."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from sfm.errors import ConfigError, InputError
from sfm.untrusted.documents import read_json

from .document import compose, read_document, scalar_value
from .options import Option, from_flat
from .presets import in_checkout, preset_path
from .renamed import earlier_names, present_value
from .schema import Config
from .values import Problem, Setting, check_document, check_value, find_option, shorten

PATH_OPTIONS = frozenset(
    {
        "photos",
        "output",
        "images.masks",
        "images.cameras_file",
        "images.rig_config",
        "register.poses",
        "georeference.positions_file",
        "mast3r.weights",
        "mast3r.weights_dir",
        "internal.mast3r.oracle",
        "retrieval.pairs_file",
    }
)
"""Options whose text is a path: relative to the file that sets them, or to the current folder."""

PATHS_FILE = "paths.json"
"""In the cache beside a `run.json`: the paths that are cut in it, by option."""

_CUT = re.compile("…(/|$)")
"""Begins paths of which a `run.json` holds the last part alone, or nothing."""
_MAX_SHOWN = 20


def load_config(
    path: Path | None = None, *, preset: str | None = None, overrides: Sequence[str] = ()
) -> Config:
    """The configuration that results from all sources, later ones winning; its paths are absolute.

    Args:
        path: YAML file, or the run.json of an earlier run.
        preset: name of a preset, applied before the file.
        overrides: `key.sub=value` texts, applied last; of equal keys the last wins.

    Raises:
        ConfigError: naming every problem of every source, each with its file, line and key.
    """
    problems: list[str] = []
    values: dict[str, object] = {}
    if preset:
        _take(_from_file(preset_path(preset)), values, problems)
        if not in_checkout():
            # What the demo's paths point to is in the repository only.
            values = {name: value for name, value in values.items() if name not in ("photos", "output")}
    if path is not None:
        _take(_from_file(path), values, problems)
    _take(_from_overrides(overrides), values, problems)
    problems += _without_cut_paths(values, path)
    if problems:
        raise ConfigError("\n".join(_bounded(problems)))
    return from_flat(values)


def _take(found: Iterator[Setting | Problem], values: dict[str, object], problems: list[str]) -> None:
    """Sort what was found into values and problems; a source that cannot be read at all is one problem."""
    try:
        for item in found:
            if isinstance(item, Problem):
                problems.append(item.text)
            else:
                values[item.option.name] = item.value
    except ConfigError as error:
        problems.append(str(error))


def _from_file(path: Path) -> Iterator[Setting | Problem]:
    root = read_document(path)
    if root is not None:
        for item in check_document(root, str(path)):
            yield _anchored(item, path.resolve().parent)


def _without_cut_paths(values: dict[str, object], path: Path | None) -> list[str]:
    """Put the kept paths in place of those that are cut in a `run.json`; returns problems where none is
    kept."""
    problems = []
    for name, value in list(values.items()):
        if name not in PATH_OPTIONS or not (isinstance(value, str) and _CUT.match(value)):
            continue
        found = _kept_paths(path).get(name) if path is not None else None
        values[name] = found
        if found is None and name not in ("photos", "output"):  # which the command line asks for
            problems.append(f"{path}: {name}: only its last part is known ({value}); give {name}=PATH")
    return problems


def _kept_paths(record: Path) -> dict[str, str]:
    try:
        stored = read_json(record.parent / "cache" / PATHS_FILE)
    except InputError:
        return {}
    kept = stored.items() if isinstance(stored, dict) else ()
    return {
        earlier_names().get(name, name): path
        for name, path in kept
        if isinstance(path, str) and os.path.isabs(path)
    }


def _from_overrides(overrides: Sequence[str]) -> Iterator[Setting | Problem]:
    for text in overrides:
        label = f"command line {shorten(text)}"
        key, equals, value = text.partition("=")
        if not equals:
            yield Problem(f"{label}: expected key=value")
            continue
        option = find_option(key.strip())
        if new := earlier_names().get(key.strip()):
            yield Problem(f"{label}: is now {new}={present_value(new, value)}")
        elif isinstance(option, str):
            yield Problem(f"{label}: {option}")
        else:
            yield _anchored(_override(option, value, label), Path.cwd())


def _override(option: Option, text: str, label: str) -> Setting | Problem:
    value: object = text
    if option.is_text:  # taken literally: a folder may be called `a: b`
        value = None if text in {"", "null"} else text
    else:
        node = _scalar_node(text, label)
        if isinstance(node, Problem):
            return node
        value = None if node is None else scalar_value(node)
    checked = check_value(option, value, shorten(text) if text else "nothing")
    return checked if isinstance(checked, Setting) else Problem(f"{label}: {checked}")


def _scalar_node(text: str, label: str) -> yaml.ScalarNode | Problem | None:
    try:
        node = compose(text, label)
    except ConfigError:
        return Problem(f"{label}: not a valid value")
    if node is None or isinstance(node, yaml.ScalarNode):
        return node
    return Problem(f"{label}: should be a single value")


def _anchored(item: Setting | Problem, folder: Path) -> Setting | Problem:
    if (
        isinstance(item, Setting)
        and item.option.name in PATH_OPTIONS
        and isinstance(item.value, str)
        and not _CUT.match(item.value)
    ):
        joined = os.path.join(folder, os.path.expanduser(item.value))
        return replace(item, value=os.path.normpath(joined))
    return item


def _bounded(problems: list[str]) -> Iterator[str]:
    yield from problems[:_MAX_SHOWN]
    if len(problems) > _MAX_SHOWN:
        yield f"… and {len(problems) - _MAX_SHOWN} more"
