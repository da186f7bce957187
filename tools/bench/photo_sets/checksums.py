"""SHA-256 of a dataset's files: pinned when first seen, compared ever after.

The list is in the form of `sha256sum`, so that `sha256sum -c LIST` checks it as well. Files that it lacks are
added, and a file that has changed or gone is named.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sfm.errors import InputError

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of a list of checksums."""

    same: int
    pinned: int
    """Files that the list now knows."""
    problems: tuple[str, ...]
    """A line for each file that changed or is missing."""


def compare_and_pin(files: Iterable[Path], root: Path, pins: Path) -> Comparison:
    """Compare files below `root` with the list `pins`, and add those that it lacks.

    Raises:
        InputError: the list is no list of checksums.
    """
    known = read_pins(pins)
    found = {file.relative_to(root).as_posix(): file for file in files}
    problems = [f"{root / name} is missing: {pins.name} knows it" for name in known if name not in found]
    fresh: dict[str, str] = {}
    same = 0
    for name, file in sorted(found.items()):
        digest = _digest(file)
        if name not in known:
            fresh[name] = digest
        elif known[name] == digest:
            same += 1
        else:
            problems.append(f"{file} has changed: SHA-256 {digest[:12]}…, pinned {known[name][:12]}…")
    if fresh:
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted({**known, **fresh}.items()))
        temporary = pins.with_name(pins.name + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, pins)
    return Comparison(same, len(fresh), tuple(problems))


def read_pins(pins: Path) -> dict[str, str]:
    """Checksum by name; nothing where there is no list.

    Raises:
        InputError: names the line that is no checksum and name.
    """
    if not pins.is_file():
        return {}
    known = {}
    for number, line in enumerate(pins.read_text(encoding="utf-8").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{pins}:{number}: expected 'SHA256  NAME', found {line[:60]!r}")
        known[match[2]] = match[1]
    return known


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
