"""Pickles read as data: nothing that they name is imported, made or called.

Where Python's own unpickler would call a function, this reader notes its name and its arguments. The caller
lists which names may occur; any other is refused, although it would have been harmless here, because a file
that holds one is not what it claims to be.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

_MAX_SHOWN = 120


class RefusedPickleError(ValueError):
    """A pickle that is damaged, refers to something it has no use for, or is written to waste memory."""


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A class or function, as "module.name"."""

    path: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PersistentId:
    """A reference to something outside the pickle."""

    value: object


@dataclass(slots=True, eq=False, repr=False)
class Described:
    """An object that was pickled as a call, and what the pickle says of it."""

    maker: str
    """What would have been called, as "module.name"."""
    arguments: tuple[object, ...]
    state: object = None
    """Its attributes or contents, for makers that are told them afterwards."""
    items: dict[object, object] = field(default_factory=dict)
    """For kinds of mappings."""


def read_pickle(source: IO[bytes], *, allowed: frozenset[str], max_opcodes: int) -> object:
    """The value of a binary pickle (protocols 2 to 5) from plain data, `Described` and `GlobalName`.

    Sets become lists.

    Args:
        source: open at the start of the pickle.
        allowed: "module.name" of every class and function that may occur.
        max_opcodes: limit of the pickle's length in instructions, which bounds time and memory.

    Raises:
        RefusedPickleError: another name, an instruction that no data needs, a key twice in a mapping, damage.
    """
    machine = _Machine(allowed)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(source)):
            if number >= max_opcodes:
                raise RefusedPickleError(f"more than {max_opcodes} instructions")
            machine.step(opcode.name, argument)
        return machine.result()
    except RefusedPickleError:
        raise
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise RefusedPickleError(f"damaged: {shown(error)}") from error


def shown(value: object) -> str:
    """A foreign value for a message: short, on one line, printable."""
    is_flat = isinstance(value, str | bytes | int | float | BaseException | None)
    text = str(value)[: 2 * _MAX_SHOWN] if is_flat else f"a {type(value).__name__}"
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


class _Machine:
    """The stack machine that a pickle is a program for."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        """Stacks under the marks."""
        self._memo: dict[int, object] = {}

    def step(self, opcode: str, argument: object) -> None:
        """Execute one instruction."""
        if opcode in _LITERALS:
            self._stack.append(argument)
        elif opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode]())
        elif opcode in _ACTIONS:
            _ACTIONS[opcode](self, argument)
        elif opcode not in _IGNORED:
            raise RefusedPickleError(f"instruction {opcode}, which weights have no use for")

    def result(self) -> object:
        if len(self._stack) != 1 or self._below:
            raise RefusedPickleError("damaged: it does not end in one value")
        return self._stack[0]

    def _top(self) -> object:
        return self._stack[-1]

    def _since_mark(self) -> list[object]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _mark(self, _: object) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("stack too short")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _marked_tuple(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _marked_list(self, _: object) -> None:
        items = self._since_mark()
        self._stack.append(items)

    def _append(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise RefusedPickleError("damaged: appends to something else than a list")
        target.extend(items)

    def _set_items(self, flat: list[object]) -> None:
        target = self._top()
        mapping = target.items if isinstance(target, Described) else target
        if not isinstance(mapping, dict) or len(flat) % 2:
            raise RefusedPickleError("damaged: sets items of something else than a mapping")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise RefusedPickleError(f"a {type(key).__name__} as key of a mapping")
            if key in mapping:
                raise RefusedPickleError(f"the key {shown(key)} occurs twice in one mapping")
            mapping[key] = value

    def _remember(self, place: object) -> None:
        self._memo[len(self._memo) if place is None else _integer(place)] = self._top()

    def _recall(self, place: object) -> None:
        self._stack.append(self._memo[_integer(place)])

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedPickleError("damaged: a name that is no text")
        path = f"{module}.{name}"
        if path not in self._allowed:
            raise RefusedPickleError(f"it refers to {shown(path)}, which weights have no use for")
        self._stack.append(GlobalName(path))

    def _stacked_name(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _inline_name(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._name(module, name)

    def _call(self, _: object) -> None:
        arguments, maker = self._stack.pop(), self._stack.pop()
        if not isinstance(maker, GlobalName) or not isinstance(arguments, tuple):
            raise RefusedPickleError("damaged: calls something that is no function")
        self._stack.append(Described(maker.path, arguments))

    def _build(self, _: object) -> None:
        state = self._stack.pop()
        target = self._top()
        if not isinstance(target, Described) or target.state is not None:
            raise RefusedPickleError("damaged: sets the state of something that has none")
        target.state = state

    def _persistent(self, _: object) -> None:
        self._stack.append(PersistentId(self._stack.pop()))


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError("a place in the memo must be a number")
    return value


_KEYS = (str, bytes, int, float, type(None), GlobalName, Described)
"""Types of keys; tuples are left out because hashing deeply nested ones would exhaust the C stack."""

_IGNORED = {"PROTO", "FRAME", "STOP"}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
_ACTIONS: dict[str, Callable[[_Machine, object], None]] = {
    "MARK": _Machine._mark,
    "TUPLE": _Machine._marked_tuple,
    "TUPLE1": lambda m, _: m._tuple(1),
    "TUPLE2": lambda m, _: m._tuple(2),
    "TUPLE3": lambda m, _: m._tuple(3),
    "FROZENSET": _Machine._marked_list,
    "APPEND": lambda m, _: m._append([m._stack.pop()]),
    "APPENDS": lambda m, _: m._append(m._since_mark()),
    "ADDITEMS": lambda m, _: m._append(m._since_mark()),
    "SETITEM": lambda m, _: m._set_items([m._stack.pop(), m._stack.pop()][::-1]),
    "SETITEMS": lambda m, _: m._set_items(m._since_mark()),
    "BINPUT": _Machine._remember,
    "LONG_BINPUT": _Machine._remember,
    "MEMOIZE": _Machine._remember,
    "BINGET": _Machine._recall,
    "LONG_BINGET": _Machine._recall,
    "GLOBAL": _Machine._inline_name,
    "STACK_GLOBAL": _Machine._stacked_name,
    "REDUCE": _Machine._call,
    "NEWOBJ": _Machine._call,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent,
}
