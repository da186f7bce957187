"""Numbers in text files of datasets, each line checked; an error names file and line."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import InputError
from sfm.evaluation.ground_truth import is_rotation

Array = NDArray[np.float64]


class Line(NamedTuple):
    """A line of text and where it stands, as `FILE:NUMBER`."""

    where: str
    text: str


def lines_of(file: Path) -> list[Line]:
    """The lines of a file that are not blank.

    Raises:
        InputError: the file is missing or not text.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{file} is missing", hint="it belongs to the dataset's ground truth") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not a readable text file: {error}") from error
    lines = enumerate(text.splitlines(), start=1)
    return [Line(f"{file}:{number}", line) for number, line in lines if line.strip()]


def numbers(line: Line, count: int, what: str) -> Array:
    """A line's `count` finite numbers, (count,); `what` says what they are.

    Raises:
        InputError: there are fewer or more, one is not finite, or something is no number.
    """
    parts = line.text.split()
    try:
        values = np.array([float(part) for part in parts], dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{line.where}: expected {what}, found {line.text[:60]!r}") from error
    if len(values) != count:
        raise InputError(f"{line.where}: expected {what}, found {line.text[:60]!r}")
    if not np.all(np.isfinite(values)):
        raise InputError(f"{line.where}: {what} must be finite, found {line.text[:60]!r}")
    return values


def matrix(lines: list[Line], columns: int, what: str) -> Array:
    """(len(lines), columns) from a line a row; errors as `numbers`."""
    return np.array([numbers(line, columns, f"a row of {what}") for line in lines])


def pose(rotation: Array, translation: Array, where: str) -> pycolmap.Rigid3d:
    """A rigid transform from (3, 3) and (3,).

    Raises:
        InputError: the matrix is no rotation; `where` begins the message.
    """
    if not is_rotation(rotation):
        raise InputError(f"{where}: its matrix is not a rotation")
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), translation)


def similarity(file: Path) -> pycolmap.Sim3d:
    """A similarity from a file of a 4x4 matrix.

    Raises:
        InputError: the file is missing or holds anything else.
    """
    lines = lines_of(file)
    if len(lines) != 4:
        raise InputError(f"{file}: expected the 4 rows of a 4x4 matrix, found {len(lines)} lines")
    found = matrix(lines, 4, "a 4x4 matrix")
    scale = float(np.cbrt(np.linalg.det(found[:3, :3])))
    if scale <= 0 or not is_rotation(found[:3, :3] / scale) or np.any(found[3] != (0, 0, 0, 1)):
        raise InputError(f"{file}: its matrix is not a similarity")
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(found[:3, :3] / scale), found[:3, 3])
