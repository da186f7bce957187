"""A configuration as commented YAML, as plain values, and its JSON schema for editors."""

import textwrap
from collections.abc import Iterator, Sequence, Set
from typing import Any

import yaml

from .colmap import SECTION
from .document import compose
from .options import INTERNAL, Option, Section, flat_values, internal_tree, nested, schema_tree
from .schema import COMMON, Config

_WIDTH = 100
_COLMAP = (
    "Options of pycolmap's own classes, set after the engine's, such as `sift_matching:` with "
    "`max_ratio: 0.7` below it; `sfm config --schema` names them all. Those of incremental_pipeline about "
    "when models are adjusted, where they begin, and registration without points concern COLMAP's own "
    "mappers alone."
)
_INTERNAL = "Options of comparisons and tests, which may change: KEY=VALUE on a command line."
_REST = "Less common options, at their defaults: KEY=VALUE on a command line, or below their section above."


def config_as_yaml(config: Config, *, comments: bool = True, internal: bool = False) -> str:
    """YAML that loads back to an equal configuration.

    With `comments` the common options and those that are set come first, with what each does above it, and
    after them all others, commented out; with `internal` those of comparisons and tests, too.
    """
    values, options = flat_values(config), list(schema_tree().options())
    rest = [o for o in options if comments and o.name not in COMMON and values[o.name] == o.default]
    lines = list(_section_lines(schema_tree(), values, {option.name for option in rest}, comments))
    if comments:
        lines += ["", *(f"# {line}" for line in textwrap.wrap(_COLMAP, _WIDTH - 2))]
    lines += [*_tree_lines(_outside(values)), *_rest_lines(rest, _REST)]
    if comments and internal:
        lines += _rest_lines(list(internal_tree().options()), _INTERNAL)
    return "\n".join(lines).strip() + "\n"


def config_as_dict(config: Config) -> dict[str, Any]:
    """The configuration as JSON values, nested as in YAML; goes into run.json."""
    values = flat_values(config)
    return nested({option.name: values[option.name] for option in schema_tree().options()}) | _outside(values)


def config_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the configuration file."""
    from .colmap_options import colmap_options  # which brings pycolmap

    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= {"title": "LoopSfM configuration", **_object_schema(schema_tree())}
    passed = nested({name: _leaf_schema(option) for name, option in colmap_options().items()})[SECTION]
    schema["properties"][SECTION] = _nested_schema(passed) | {"description": _COLMAP}
    schema["properties"][INTERNAL] = _object_schema(internal_tree()) | {"description": _INTERNAL}
    return schema


def _outside(values: dict[str, object]) -> dict[str, Any]:
    """What is set that is not among the user's own options: pycolmap's, and those of tests and benchmarks."""
    defaults = {option.name: option.default for option in internal_tree().options()}
    return nested(
        {
            name: value
            for name, value in values.items()
            if name.startswith(f"{SECTION}.") or (name in defaults and value != defaults[name])
        }
    )


def _nested_schema(tree: dict[str, Any]) -> dict[str, Any]:
    if "default" in tree:
        return tree
    properties = {key: _nested_schema(inner) for key, inner in tree.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _section_lines(
    section: Section, values: dict[str, object], without: Set[str], comments: bool
) -> Iterator[str]:
    for key, member in section.members.items():
        indent = "  " if "." in member.name else ""
        inner = member.options() if isinstance(member, Section) else (member,)
        if all(option.name in without for option in inner):
            continue
        if comments:
            if isinstance(member, Section):
                yield ""
            for line in textwrap.wrap(_comment(member), _WIDTH - len(indent) - 2):
                yield f"{indent}# {line}"
        if isinstance(member, Section):
            yield f"{indent}{key}:"
            yield from _section_lines(member, values, without, comments)
        else:
            yield f"{indent}{key}: {_scalar(values[member.name])}"


def _tree_lines(tree: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _tree_lines(value, f"{indent}  ")
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _rest_lines(options: Sequence[Option], title: str) -> Iterator[str]:
    if options:
        yield from ("", f"# {title}")
    for option in options:
        yield from ("#", f"# {option.name}: {_scalar(option.default)}")
        for line in textwrap.wrap(_comment(option), _WIDTH - 6):
            yield f"#     {line}"


def _comment(member: Option | Section) -> str:
    if isinstance(member, Section):
        return member.doc
    choices = [str(choice) for choice in _leaf_schema(member).get("enum", ())]
    if not choices or all(choice in member.doc for choice in choices):
        return member.doc
    return f"{member.doc} One of {' | '.join(choices)}."


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if text.replace("_", "").replace("/", "").isalnum() and text.isascii() and _reads_as_text(text):
        return text
    # Width unbounded: a folded line would still load, but is hard to read.
    return yaml.safe_dump(text, default_style='"', width=float("inf")).rstrip("\n")


def _reads_as_text(text: str) -> bool:
    node = compose(text, "")
    return node is not None and node.tag == "tag:yaml.org,2002:str"


def _object_schema(section: Section) -> dict[str, Any]:
    properties = {}
    for key, member in section.members.items():
        properties[key] = _object_schema(member) if isinstance(member, Section) else _leaf_schema(member)
    return {
        "type": "object",
        "description": section.doc,
        "properties": properties,
        "additionalProperties": False,
    }


def _leaf_schema(option: Option) -> dict[str, Any]:
    from pydantic import TypeAdapter

    schema = TypeAdapter(option.annotation).json_schema()
    return schema | {"description": option.doc, "default": option.default}
