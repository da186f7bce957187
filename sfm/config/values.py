"""What a user wrote against the schema: every problem, with its place, its key and the nearest valid name."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from sfm.untrusted.suggestions import nearest

from .colmap import SECTION
from .demo_options import of_the_demo
from .document import line_of, scalar_value
from .options import INTERNAL, Option, Section, internal_tree, schema_tree
from .renamed import earlier_names, is_earlier_section, present_value
from .schema import Config

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MAX_INT = 2**31 - 1
"""COLMAP's and faiss's integers have 32 bits."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An accepted value."""

    option: Option
    value: object


@dataclass(frozen=True, slots=True)
class Problem:
    """A refused line, in words for the user."""

    text: str


def check_document(root: yaml.Node, label: str) -> Iterator[Setting | Problem]:
    """What the file `label` sets, and what is wrong with it."""
    tree = schema_tree()
    if isinstance(root, yaml.MappingNode):
        yield from _check_section(root, tree, label)
    elif not _is_null(root):
        expected = "expected lines such as `photos: my/folder`"
        yield Problem(f"{_where(label, root)}: {expected}, found {_kind(root)}")


def check_value(option: Option, value: object, shown: str) -> Setting | str:
    """The setting, or why `value`, which the user wrote as `shown`, is refused."""
    from pydantic import ValidationError

    try:
        checked = _adapter(option.name).validate_python(value, strict=True)
    except ValidationError as error:
        if (now := present_value(option.name, value)) != value:
            return f"{shown} is now {now!r}"
        reason = error.errors(include_url=False)[0]["msg"].replace("Input should", "should")
        return f"{reason} (got {shown})"
    if isinstance(checked, float) and not math.isfinite(checked):
        return f"should be a finite number (got {shown})"
    if isinstance(checked, int) and abs(checked) > _MAX_INT:
        return f"should be at most {_MAX_INT} (got {shown})"
    if isinstance(checked, str) and not _is_usable_text(checked):
        return f"should be a name or path (got {shown})"
    if option.name.startswith(f"{SECTION}."):
        from .colmap_options import refusal

        if why := refusal(option.name, checked):
            return f"{why} (got {shown})"
    return Setting(option, checked)


def find_option(dotted: str) -> Option | str:
    """The option of that name, or why there is none."""
    if f"{dotted}.".startswith(f"{SECTION}."):
        from .colmap_options import find_colmap_option  # which brings pycolmap

        return find_colmap_option(dotted)
    is_internal = dotted.startswith(f"{INTERNAL}.")
    member: Option | Section = internal_tree() if is_internal else schema_tree()
    for part in dotted.removeprefix(f"{INTERNAL}.").split("."):
        if not isinstance(member, Section) or part not in member.members:
            return unknown_option(dotted)
        member = member.members[part]
    if isinstance(member, Section):
        first = next(member.options()).name
        return f"is a section; set one of its options, such as {first}=…"
    return member


def unknown_option(dotted: str) -> str:
    """The message for a name that is not in the schema, with the one that took its place or is nearest."""
    if (new := earlier_names().get(dotted)) is not None:
        return f"is now {new}" if new else "is no longer an option; what was its default is always taken"
    if (here := of_the_demo(dotted.rpartition(".")[2])) is not None:
        return here
    near = _nearest(dotted.removeprefix(f"{INTERNAL}."))
    return f"unknown option (did you mean '{near}'?)" if near else "unknown option"


def shorten(text: str) -> str:
    """`text` quoted, cut to a length that fits a message."""
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _check_section(node: yaml.MappingNode, section: Section, label: str) -> Iterator[Setting | Problem]:
    seen: dict[str, yaml.Node] = {}
    for key_node, value_node in node.value:
        where = _where(label, key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            yield Problem(f"{where}: a key should be a name, found {_kind(key_node)}")
            continue
        key = key_node.value
        name = f"{section.name}.{key}".lstrip(".")
        if key in seen:
            yield Problem(f"{where}: {name}: given twice (first on line {line_of(seen[key])})")
            continue
        seen[key] = key_node
        member = section.members.get(key) or _outside(name, value_node)
        if member is None:
            yield Problem(f"{where}: {_short(name)}: {_unknown_in_file(name, section)}")
        elif isinstance(member, Section):
            yield from _check_subsection(value_node, member, label)
        else:
            yield from _check_option(value_node, member, label)


def _check_subsection(node: yaml.Node, section: Section, label: str) -> Iterator[Setting | Problem]:
    if isinstance(node, yaml.MappingNode):
        yield from _check_section(node, section, label)
    elif not _is_null(node):  # a section whose lines are all commented out is empty, not wrong
        yield Problem(f"{_where(label, node)}: {section.name}: should hold options, found {_kind(node)}")


def _outside(name: str, node: yaml.Node) -> Option | Section | None:
    """What the tree does not hold: pycolmap's options, internal ones, and sections of earlier versions."""
    top = name.partition(".")[0]
    if top not in (SECTION, INTERNAL) and not is_earlier_section(top):
        return None
    if isinstance(node, yaml.MappingNode) or (_is_null(node) and name.count(".") < 2):
        return Section(name, Config, {}, "")
    found = find_option(name)
    return found if isinstance(found, Option) else None


def _check_option(node: yaml.Node, option: Option, label: str) -> Iterator[Setting | Problem]:
    if not isinstance(node, yaml.ScalarNode):
        yield Problem(f"{_where(label, node)}: {option.name}: should be a single value, found {_kind(node)}")
        return
    value = scalar_value(node)
    if option.is_text and value is not None:
        value = node.value  # a folder called 2024 or a file called on is a name, not a number or a switch
    shown = shorten(node.value) if isinstance(value, str) else node.value[:60] or "null"
    match check_value(option, value, shown):
        case Setting() as setting:
            yield setting
        case reason:
            yield Problem(f"{_where(label, node)}: {option.name}: {reason}")


def _unknown_in_file(name: str, section: Section) -> str:
    found = find_option(name)
    if not section.name and isinstance(found, Option):
        parent, _, leaf = name.rpartition(".")
        return f"dotted names are for the command line; here write `{parent}:` and, indented below, `{leaf}:`"
    return found if isinstance(found, str) else unknown_option(name)


def _nearest(dotted: str) -> str | None:
    tree = schema_tree()
    names = [option.name for option in tree.options()]
    names += [member.name for member in tree.members.values() if isinstance(member, Section)]
    parent, _, leaf = dotted.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == parent}
    anywhere = {name.rpartition(".")[2]: name for name in names}
    internal = {option.name.rpartition(".")[2]: option.name for option in internal_tree().options()}
    if dotted in internal.keys() - anywhere.keys():
        return internal[dotted]
    for pool, word in ((siblings, leaf), ({name: name for name in names}, dotted), (anywhere, leaf)):
        if found := nearest(word, pool, cutoff=0.65):
            return pool[found[0]]
    return None


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    option = find_option(name)
    assert isinstance(option, Option)
    return TypeAdapter(option.annotation)


def _is_usable_text(text: str) -> bool:
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and scalar_value(node) is None


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return shorten(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a group of keys"


def _where(label: str, node: yaml.Node) -> str:
    line = line_of(node)
    return label if line is None else f"{label}:{line}"


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "…"
