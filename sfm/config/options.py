"""The schema as a tree of sections and options, with the documentation written below each field."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .schema import Config


@dataclass(frozen=True, slots=True)
class Option:
    """One value that can be set; `name` is dotted from the root."""

    name: str
    annotation: Any
    default: object
    doc: str

    @property
    def is_text(self) -> bool:
        """True when a value is words: a string or one of several names."""
        return str in _base_types(self.annotation)


@dataclass(frozen=True, slots=True)
class Section:
    """A group of options, made into `cls`; `name` is empty for the root."""

    name: str
    cls: type
    members: Mapping[str, Option | Section]
    doc: str

    def options(self) -> Iterator[Option]:
        """All options below, in the order of the schema."""
        for member in self.members.values():
            if isinstance(member, Section):
                yield from member.options()
            else:
                yield member


@cache
def schema_tree() -> Section:
    """The tree of `Config`."""
    return _section("", Config)


def flat_values(config: Config) -> dict[str, object]:
    """Every value of a configuration by dotted name."""
    return {option.name: _value_at(config, option.name) for option in schema_tree().options()}


def from_flat(values: Mapping[str, object]) -> Config:
    """A configuration with `values` by dotted name, and defaults where there is none."""
    config = _build(schema_tree(), values)
    assert isinstance(config, Config)
    return config


def _section(name: str, cls: type) -> Section:
    hints = get_type_hints(cls, include_extras=True)
    docs = _field_docs(cls)
    members: dict[str, Option | Section] = {}
    for field in dataclasses.fields(cls):
        dotted = f"{name}.{field.name}".lstrip(".")
        if dataclasses.is_dataclass(hints[field.name]):
            members[field.name] = _section(dotted, hints[field.name])
        else:
            members[field.name] = Option(dotted, hints[field.name], field.default, docs.get(field.name, ""))
    return Section(name, cls, members, inspect.cleandoc(cls.__doc__ or ""))


def _field_docs(cls: type) -> dict[str, str]:
    """The string literal below each field, on one line; Python keeps it in the source only."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    docs[field.target.id] = " ".join(text.split())
    return docs


def _base_types(annotation: Any) -> set[type]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _base_types(get_args(annotation)[0])
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin in (Union, UnionType):
        return {kind for part in get_args(annotation) for kind in _base_types(part)} - {NoneType}
    return {annotation}


def _value_at(config: object, dotted: str) -> object:
    for part in dotted.split("."):
        config = getattr(config, part)
    return config


def _build(section: Section, values: Mapping[str, object]) -> object:
    arguments = {}
    for key, member in section.members.items():
        if isinstance(member, Section):
            arguments[key] = _build(member, values)
        elif member.name in values:
            arguments[key] = values[member.name]
    return section.cls(**arguments)
