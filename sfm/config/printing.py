"""A configuration as commented YAML, as plain values, and its JSON schema for editors."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from .document import compose
from .options import Option, Section, flat_values, schema_tree
from .schema import Config

_WIDTH = 100


def config_as_yaml(config: Config, *, comments: bool = True) -> str:
    """YAML that loads back to an equal configuration, with what each option does above it."""
    return "\n".join(_section_lines(schema_tree(), flat_values(config), comments)).strip() + "\n"


def config_as_dict(config: Config) -> dict[str, Any]:
    """The configuration as JSON values, nested as in YAML; goes into run.json."""
    return dataclasses.asdict(config)


def config_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the configuration file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "LoopSfM configuration"}
    return schema | _object_schema(schema_tree())


def _section_lines(section: Section, values: dict[str, object], comments: bool) -> Iterator[str]:
    for key, member in section.members.items():
        indent = "  " if "." in member.name else ""
        if comments:
            if isinstance(member, Section):
                yield ""
            for line in textwrap.wrap(_comment(member), _WIDTH - len(indent) - 2):
                yield f"{indent}# {line}"
        if isinstance(member, Section):
            yield f"{indent}{key}:"
            yield from _section_lines(member, values, comments)
        else:
            yield f"{indent}{key}: {_scalar(values[member.name])}"


def _comment(member: Option | Section) -> str:
    """The documentation, and the choices or the range where they are not in it."""
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
