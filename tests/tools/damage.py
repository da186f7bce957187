"""Ways to damage the files of a dataset, and the check that it is then refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from photo_sets import load_scene

from sfm.errors import InputError

from .fabricate import Made

Damage = dict[str, tuple[Callable[[Path], object], str]]
"""By what is wrong: what does the damage to a folder, and the expression that the message must match."""


def change(file: Path, old: str, new: str) -> None:
    """Replace the first occurrence, which must be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def change_line(file: Path, index: int, new: str | None) -> None:
    """Replace one line, or drop it."""
    lines = file.read_text().splitlines()
    del lines[index]
    if new is not None:
        lines.insert(index, new)
    file.write_text("\n".join(lines) + "\n")


def cut_before(file: Path, word: str, characters: int) -> None:
    """End the file so many characters before a word."""
    text = file.read_text()
    file.write_text(text[: text.index(word) - characters])


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def refused(name: str, made: Made, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scene(name, made.root)
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text
    assert str(made.root) in text
