"""Names from outside become paths: relative, below their root, and no part longer than a disk can hold."""

import os
import re
from pathlib import Path

from sfm.errors import InputError

MAX_PART_BYTES = 255
"""Of one part of a path, on every common file system."""
_SHOWN = 80
_SEPARATORS = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:(?:[/\\]|$)")


class UnusableNameError(InputError):
    """A name of which no path may be made."""


def checked_name(name: str, *, where: Path | None = None) -> str:
    """The name itself, if a path may be made of it.

    A backslash counts as a separator, too, where that would make a name lead elsewhere: it does on Windows.

    Raises:
        UnusableNameError: an empty or absolute name, one with a drive, `..` or a NUL, or an overlong part;
            names the document `where` it was found.
    """
    if problem := _problem(name):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
        raise UnusableNameError(
            f"{f'{where}: ' if where else ''}{shown!r} cannot be used as the name of a photo: {problem}",
            hint="names are relative to the photo folder, such as day1/a.jpg; rename it, in the model too",
        )
    return name


def path_below(root: Path, name: str, *, where: Path | None = None) -> Path:
    """The file that a name from outside stands for, to be read.

    Links that lie below `root` are followed: whoever owns the folder made them, not who wrote the name.

    Raises:
        UnusableNameError: see `checked_name`.
    """
    return root / checked_name(name, where=where)


def place_below(root: Path, name: str) -> Path:
    """The place of a name from outside, to be written to: by putting a new file or link there.

    Raises:
        UnusableNameError: see `checked_name`; or a folder on the way is a link that leads out of `root`.
    """
    place = path_below(root, name)
    if not Path(os.path.realpath(place.parent)).is_relative_to(os.path.realpath(root)):
        raise UnusableNameError(
            f"{name!r} cannot be written below {root}: a link on the way leads elsewhere",
            hint=f"remove the link below {root}",
        )
    return place


def _problem(name: str) -> str:
    parts = _SEPARATORS.split(name)
    if not name:
        return "it is empty"
    if "\0" in name:
        return "it holds a NUL"
    if not parts[0] or _DRIVE.match(name):
        return "it is absolute"
    if ".." in parts:
        return "it leads out of its folder by '..'"
    longest = max(len(part.encode(errors="surrogateescape")) for part in name.split("/"))
    if longest > MAX_PART_BYTES:
        return f"a part of it has {longest} bytes, and a disk takes {MAX_PART_BYTES}"
    return ""
