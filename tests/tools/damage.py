"""Ways to damage the files of a dataset, and the check that it is then refused."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from photo_sets import load_scene

from sfm.errors import InputError

from .fabricate import Made

Damage = dict[str, tuple[Callable[[Path], object], str]]
"""By what is wrong: what does the damage to a folder, and the expression that the message must match."""


Change = Callable[[Path], object]
"""Does damage below a folder."""


def rewritten(name: str, new: Callable[[str], str]) -> Change:
    """A text file with other content."""
    return lambda folder: (folder / name).write_text(new((folder / name).read_text()))


def change(name: str, old: str, new: str) -> Change:
    """The first occurrence, which must be there, is another text."""

    def replaced(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return rewritten(name, replaced)


def line(name: str, index: int, new: str | None) -> Change:
    """One line is another one, or gone."""

    def replaced(text: str) -> str:
        lines = text.splitlines()
        lines[index : index + 1 or None] = [] if new is None else [new]
        return "\n".join(lines) + "\n"

    return rewritten(name, replaced)


def cut(name: str, size: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def holds(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def gone(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def emptied(name: str) -> Change:
    return lambda folder: [path.unlink() for path in (folder / name).iterdir()]


def refused(name: str, made: Made, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scene(name, made.root)
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text
    assert str(made.root) in text
