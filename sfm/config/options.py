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
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from retrieval.text_form import TextForm

from .colmap import GROUPS, SECTION, ColmapValues, Value
from .schema import Config

INTERNAL = "internal"
"""Annotates options for tests and benchmarks, which are not the user's, and names their section."""


@dataclass(frozen=True, slots=True)
class Option:
    """One value that can be set; `name` is dotted from the root of a configuration file."""

    name: str
    annotation: Any
    default: object
    doc: str

    @property
    def is_text(self) -> bool:
        """True when a value is words: a string or one of several names."""
        return str in _base_types(self.annotation)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an option that takes one of several, or forms of those that take more; else none."""
        return tuple(_choices(self.annotation))


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
    """The user's options; those of pycolmap are in `colmap_options`."""
    return _section("", Config, internal=False)


@cache
def internal_tree() -> Section:
    """The options for tests and benchmarks."""
    return _section("", Config, internal=True)


def flat_values(config: Config) -> dict[str, object]:
    """Every value of a configuration by dotted name; of pycolmap's options those that are set."""
    options = [*schema_tree().options(), *internal_tree().options()]
    values = {option.name: _value_at(config, option.name.removeprefix(f"{INTERNAL}.")) for option in options}
    for section in sorted({group.section for group in GROUPS.values()}):
        passed = getattr(config, section).colmap.values
        values |= {f"{SECTION}.{name}": value for name, value in passed}
    return values


def from_flat(values: Mapping[str, object]) -> Config:
    """A configuration with `values` by dotted name, and defaults where there is none."""
    config = _build(Config, "", {name.removeprefix(f"{INTERNAL}."): value for name, value in values.items()})
    assert isinstance(config, Config)
    return config


def _section(name: str, cls: type, *, internal: bool) -> Section:
    hints = get_type_hints(cls, include_extras=True)
    docs = _field_docs(cls)
    members: dict[str, Option | Section] = {}
    for field in dataclasses.fields(cls):
        dotted, hint = f"{name}.{field.name}".lstrip("."), hints[field.name]
        if dataclasses.is_dataclass(hints[field.name]):
            inner = _section(dotted, hints[field.name], internal=internal)
            if inner.members and hint is not ColmapValues:
                members[field.name] = inner
        elif internal == (INTERNAL in getattr(hint, "__metadata__", ())):
            full = f"{INTERNAL}.{dotted}" if internal else dotted
            members[field.name] = Option(full, hint, field.default, docs.get(field.name, ""))
    named = f"{INTERNAL}.{name}".rstrip(".") if internal else name
    return Section(named, cls, members, inspect.cleandoc(cls.__doc__ or ""))


def nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Values by dotted name as a tree of sections."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        inner = tree
        for section in sections:
            child = inner.setdefault(section, {})
            inner = child if isinstance(child, dict) else {}
        inner[leaf] = value
    return tree


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


def _choices(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) in (Annotated, Union, UnionType):
        for part in get_args(annotation):
            yield from part.examples if isinstance(part, TextForm) else _choices(part)


def _value_at(config: object, dotted: str) -> object:
    for part in dotted.split("."):
        config = getattr(config, part)
    return config


def _build(cls: type, name: str, values: Mapping[str, object]) -> object:
    hints = get_type_hints(cls)
    arguments: dict[str, object] = {}
    for field in dataclasses.fields(cls):
        dotted = f"{name}.{field.name}".lstrip(".")
        if hints[field.name] is ColmapValues:
            arguments[field.name] = _passed_on(name, values)
        elif dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], dotted, values)
        elif dotted in values:
            arguments[field.name] = values[dotted]
    return cls(**arguments)


def _passed_on(section: str, values: Mapping[str, object]) -> ColmapValues:
    """What is set of those options of pycolmap that a section carries."""
    groups = tuple(f"{SECTION}.{name}." for name, group in GROUPS.items() if group.section == section)
    return ColmapValues.of(
        {
            name.removeprefix(f"{SECTION}."): cast(Value, value)
            for name, value in values.items()
            if name.startswith(groups)
        }
    )
