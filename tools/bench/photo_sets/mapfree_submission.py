"""Estimated poses as the Map-free benchmark takes them: a zip of `pose_sNNNNN.txt`, without folders.

A line is `path qw qx qy qz tx ty tz confidence`, the pose world to camera in metres, confidence >= 0.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from photo_sets.mapfree import pose_of
from photo_sets.texts import Line, numbers
from sfm.errors import InputError

_MEMBER = re.compile(r"pose_(s\d+)\.txt")
_MAX_BYTES = 50_000_000
"""Of a file in the zip: a scene has some hundred lines of 100 bytes."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The pose of a query."""

    cam_from_world: pycolmap.Rigid3d
    confidence: float


Submission = Mapping[str, Mapping[str, Estimate]]
"""By scene, then by name of the query."""


def write_submission(path: Path, scenes: Submission) -> None:
    """Write the zip, in a new folder where there is none; a scene without poses has an empty file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for scene, estimates in sorted(scenes.items()):
            archive.writestr(f"pose_{scene}.txt", "".join(_line(*item) for item in sorted(estimates.items())))


def _line(name: str, estimate: Estimate) -> str:
    x, y, z, w = estimate.cam_from_world.rotation.quat
    values = (w, x, y, z, *estimate.cam_from_world.translation, estimate.confidence)
    return f"{name} {' '.join(f'{float(value):.9g}' for value in values)}\n"


def read_submission(path: Path) -> Submission:
    """The estimates of a zip.

    Raises:
        InputError: it is no zip, or a file in it is in a folder, not named so, too large or malformed; names
            the file in it and the line.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {_scene(path, item): _estimates(path, archive, item) for item in archive.infolist()}
    # Damaged or encrypted members raise any of these.
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(f"{path} is not a readable zip: {error}") from error


def _scene(path: Path, item: zipfile.ZipInfo) -> str:
    named = _MEMBER.fullmatch(item.filename)
    if named is None:
        raise InputError(
            f"{path}: it holds {item.filename[:80]!r}",
            hint="a submission holds pose_sNNNNN.txt for each scene, without folders",
        )
    return named[1]


def _estimates(path: Path, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> dict[str, Estimate]:
    where = f"{path}/{item.filename}"
    if item.file_size > _MAX_BYTES:
        raise InputError(f"{where}: {item.file_size} bytes are too many for the poses of a scene")
    try:
        text = archive.read(item).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not text: {error}") from error
    found: dict[str, Estimate] = {}
    for number, content in enumerate(io.StringIO(text), start=1):
        if not content.strip():
            continue
        name, _, rest = content.strip().partition(" ")
        line = Line(f"{where}:{number}", rest)
        values = numbers(line, 8, "a path, then qw qx qy qz tx ty tz confidence")
        if values[7] < 0:
            raise InputError(f"{line.where}: the confidence {values[7]:g} is negative")
        if name in found:
            raise InputError(f"{line.where}: a second pose of {name!r}")
        found[name] = Estimate(pose_of(line, values), float(values[7]))
    return found
