"""The formats of `sfm export`, one list for the command, its help and its completion; light to import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfm.errors import ConfigError

if TYPE_CHECKING:
    from sfm.exports.source import Source

Names = Mapping[str, str]
"""Names of exported photos by image name."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format, and what it is made from."""

    write: Callable[[Source, Path], Names]
    """Writes a model into a folder."""
    what: str
    """What is written, for help."""
    needs_photos: bool = False
    has_depth: bool = False
    """Whether it takes `DepthOptions`."""
    takes_faces: bool = False
    """Whether it takes the faces of panoramas in their place, but for depth."""
    takes: frozenset[str] = frozenset()
    """Options of the command that this format has, beside those of every format."""


_PHOTOS = ("--strip-gps", "--threads")
_NETWORK = ("--pairs-per-view", "--threads")
_SCENE = ("--points", "--full-size", "--frame", "--plain-cameras", "--camera-size")


def _write_3dgs(source: Source, folder: Path) -> Names:
    from sfm.exports.splats import write_3dgs

    return write_3dgs(source.model, source.images, folder, source.threads)


def _write_nerfstudio(source: Source, folder: Path) -> Names:
    from sfm.exports.nerfstudio import write_nerfstudio

    return write_nerfstudio(source, folder)


def _write_txt(source: Source, folder: Path) -> Names:
    from sfm.exports.models import write_text

    return write_text(source.model, folder)


def _write_ply(source: Source, folder: Path) -> Names:
    from sfm.exports.models import write_points_ply

    write_points_ply([source.model], folder / "points.ply")
    return {}


def _write_views(source: Source, folder: Path) -> Names:
    from sfm.exports.views import write_views

    return write_views(source, folder)


def _write_dense(source: Source, folder: Path) -> Names:
    from sfm.exports.dense import write_dense

    return write_dense(source, folder)


FORMATS: Mapping[str, Format] = {
    "3dgs": Format(
        _write_3dgs,
        "undistorted photos and a PINHOLE model, for Gaussian splatting trainers",
        needs_photos=True,
        takes_faces=True,
        takes=frozenset(_PHOTOS),
    ),
    "nerfstudio": Format(
        _write_nerfstudio,
        "transforms.json",
        needs_photos=True,
        has_depth=True,
        takes_faces=True,
        takes=frozenset((*_PHOTOS, *_NETWORK, "--depth", "--min-confidence")),
    ),
    "txt": Format(_write_txt, "COLMAP's text files"),
    "ply": Format(_write_ply, "coloured points"),
    "views": Format(
        _write_views,
        "depth and confidence of each photo, a dense cloud, and a GLB scene",
        needs_photos=True,
        has_depth=True,
        takes=frozenset((*_NETWORK, *_SCENE, "--min-confidence", "--metres", "--as")),
    ),
    "dense": Format(
        _write_dense,
        "a dense cloud, triangulated from matches of all pixels; `sfm dense` takes more, at full size",
        needs_photos=True,
        has_depth=True,
        takes=frozenset((*_NETWORK, *_SCENE)),
    ),
}


def refuse_options(to: str, given: Iterable[str]) -> None:
    """Refuse options of the command that others of the formats have, and this one would ignore.

    Raises:
        ConfigError: naming the option, and the formats that have it.
    """
    for option in given:
        known = [name for name, form in FORMATS.items() if option in form.takes]
        if known and to in FORMATS and to not in known:
            why = ", which has depth anyway" if option == "--depth" and FORMATS[to].has_depth else ""
            raise ConfigError(
                f"{option} means nothing to the export format {to}{why}",
                hint=f"leave it out, or export --to {' or '.join(known)}",
            )
