"""From a YAML or JSON file to a tree of nodes with line numbers; nothing is constructed from tags."""

import io
import re
from pathlib import Path

import yaml

from sfm.errors import ConfigError
from sfm.untrusted.documents import parsed_json

from .renamed import translated

MAX_YAML_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_KEYS = 2000
"""Keys and values; there are fewer than 200 options."""
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, and floats without a point such as 1e-3."""


_Loader.add_implicit_resolver(
    f"{_TAG}float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_document(path: Path) -> yaml.Node | None:
    """The root node of a YAML file, or of the `config` in a run.json; None when the file is empty.

    Raises:
        ConfigError: the file cannot be read, is binary or too large, is not valid YAML, uses aliases or tags.
    """
    text = _read_text(path)
    resolved = _config_of_run_json(text)
    if resolved is not None:
        if _num_values(resolved) > MAX_KEYS:
            raise ConfigError(f"{path}: more than {MAX_KEYS} values; a configuration has fewer options")
        return yaml.SafeDumper(io.StringIO(), sort_keys=False).represent_data(resolved)
    if len(text) > MAX_YAML_BYTES:
        raise ConfigError(f"{path}: too large for a configuration (more than {MAX_YAML_BYTES // 1024} kB)")
    return compose(text, str(path))


def compose(text: str, label: str) -> yaml.Node | None:
    """The root node of `text`; errors start with `label` and the line.

    Raises:
        ConfigError: not valid YAML, nested too deeply, or it uses aliases or tags.
    """
    try:
        _refuse_unsafe(text, label)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_message(error, label)) from None
    return node


def line_of(node: yaml.Node) -> int | None:
    """Line of a node counted from 1; None when it does not come from YAML text."""
    return node.start_mark.line + 1 if node.start_mark else None


def scalar_value(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """The value of a scalar; numbers only in plain decimal notation, everything else stays text."""
    text = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return bool(text.lower() in {"true", "yes", "on"})
    if kind == "int" and re.fullmatch(r"[-+]?\d{1,300}", text):
        return int(text)
    if kind == "float" and ":" not in text:
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
    return str(text)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError(f"{path}: not a text file; a configuration is YAML in UTF-8")
    return text


def _config_of_run_json(text: str) -> dict[str, object] | None:
    """The resolved configuration when `text` is a run.json, else None."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        record = parsed_json(text)
    except ValueError:
        return None
    config = record.get("config")
    return translated(config) if isinstance(config, dict) else None


def _num_values(config: object) -> int:
    if isinstance(config, dict | list):
        return sum(map(_num_values, config.values() if isinstance(config, dict) else config))
    return 1


def _refuse_unsafe(text: str, label: str) -> None:
    depth = count = 0
    for event in yaml.parse(text, Loader=_Loader):
        where = f"{label}:{event.start_mark.line + 1}" if event.start_mark else label
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(
                f"{where}: aliases and anchors (* and &) are not supported; write the value out"
            )
        if tag := getattr(event, "tag", None):
            raise ConfigError(f"{where}: tags ({tag}) are not supported; write the plain value")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        count += isinstance(event, yaml.NodeEvent)
        if count > 2 * MAX_KEYS:
            raise ConfigError(f"{where}: more than {MAX_KEYS} keys; a configuration has fewer options")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: nested more than {MAX_DEPTH} levels deep")


def _syntax_message(error: yaml.YAMLError, label: str) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{label}:{mark.line + 1}" if mark else label
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "invalid text"
    if "'\\t'" in problem:
        problem = "a tab; YAML is indented with spaces"
    return f"{where}: not valid YAML: {problem}"
