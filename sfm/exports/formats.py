"""The formats of `sfm export`, one list for the command, its help and its completion; light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


def _write_3dgs(source: Source, folder: Path) -> Names:
    from sfm.exports.splats import write_3dgs

    return write_3dgs(source.model, source.images, folder)


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
    ),
    "nerfstudio": Format(
        _write_nerfstudio, "transforms.json", needs_photos=True, has_depth=True, takes_faces=True
    ),
    "txt": Format(_write_txt, "COLMAP's text files"),
    "ply": Format(_write_ply, "coloured points"),
    "views": Format(
        _write_views,
        "depth and confidence of each photo, a dense cloud, and a GLB scene",
        needs_photos=True,
        has_depth=True,
    ),
    "dense": Format(
        _write_dense,
        "a dense cloud, triangulated from matches of all pixels (`sfm dense`)",
        needs_photos=True,
        has_depth=True,
    ),
}
