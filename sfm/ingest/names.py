"""Names that photos bear in the model."""

from __future__ import annotations

import unicodedata
from collections.abc import Set
from pathlib import PurePosixPath

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def model_name(name: str) -> str:
    """The name as a model can carry it.

    Spaces and letters of any script stay. Control characters, line separators and bytes that are not UTF-8
    are written as `%0A`, because COLMAP's text files, pair lists and JSON break on them.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _ESCAPED_CATEGORIES else c for c in name)


def _escaped(character: str) -> str:
    data = character.encode("utf-8", errors="surrogateescape")
    return "".join(f"%{byte:02X}" for byte in data)


def unique_name(name: str, taken: Set[str]) -> str:
    """`name`, or where it is taken, `name~2` and so on, with the suffix kept last."""
    path, candidate, number = PurePosixPath(name), name, 2
    while candidate in taken:
        candidate = path.with_name(f"{path.stem}~{number}{path.suffix}").as_posix()
        number += 1
    return candidate
