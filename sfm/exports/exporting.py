"""`sfm export`: a finished workspace in the form that another program reads."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sfm.errors import ConfigError, InputError
from sfm.exports.cube_faces import has_panoramas, with_cube_faces
from sfm.exports.formats import FORMATS
from sfm.exports.gps import has_gps
from sfm.exports.gps import strip_gps as strip_gps_of
from sfm.exports.models import model_indices, read_model
from sfm.exports.names import listed
from sfm.exports.ownership import Keeper, refuse_foreign, write_marker
from sfm.exports.source import DepthOptions, SceneOptions, Source
from sfm.files.atomic import atomic_folder
from sfm.files.scratch import scratch_folder
from sfm.ingest.manifest import changed_photos
from sfm.untrusted.names import path_below
from sfm.untrusted.suggestions import nearest
from sfm.workspace.past_runs import unfinished, warn_of_unfinished
from sfm.workspace.progress import Progress, SilentProgress
from sfm.workspace.workspace import os_errors_as_workspace_errors

log = logging.getLogger(__name__)

SILENT = SilentProgress()

_SCENES = ("views", "dense")
"""Formats with a `scene.glb`."""


def export(
    out: str | os.PathLike[str],
    *,
    to: str,
    destination: str | os.PathLike[str] | None = None,
    model: int = 0,
    depth: DepthOptions | None = None,
    strip_gps: bool = False,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write model `model` of workspace OUT for another program.

    Args:
        out: workspace of a finished run.
        to: one of `FORMATS`. `views` takes the depth of the alignment that made the model, or asks the
            network of the mast3r backend, whatever backend made the model.
        destination: new or empty folder, or an earlier export, whose own files are replaced while others are
            kept; OUT/export/<to> by default.
        model: index in OUT/sparse.
        depth: how `views` asks for depth; with `nerfstudio`, writes depth maps beside the photos.
        strip_gps: remove the places where photos were taken; their pixels keep their bytes.
        threads: to use; None takes those that the run was configured with, or all cores.

    Returns:
        The folder written.

    Raises:
        ConfigError: the format is not known, or has no depth.
        InputError: OUT has no such model, or a photo is missing or has changed.
        WeightsError, MissingDependencyError: depth is wanted, and the network cannot be had or run here.
        ReconstructionError: no photo's depth agrees with the model.
        WorkspaceError: the destination holds something else or cannot be written.
    """
    check_format(to, depth)
    root = _finished(Path(out))
    target = Path(destination or root / "export" / to).expanduser().absolute()
    refuse_foreign(target)
    _require_photos(root, to)
    source = Source(root, read_model(root, model), model, depth, progress, threads=threads)
    _refuse_panoramas(source, to)
    if FORMATS[to].needs_photos:
        _warn_of_changed_photos(source)
    keeper = Keeper()
    with (
        os_errors_as_workspace_errors(target),
        atomic_folder(target, carry=keeper.carry) as folder,
        scratch_folder() as scratch,
    ):
        written, photo_of = with_cube_faces(source, scratch) if FORMATS[to].takes_faces else (source, {})
        names = FORMATS[to].write(written, folder)
        photos = list((folder / "images").iterdir()) if (folder / "images").is_dir() else []
        warning = _stripped(photos) if strip_gps else _placed(photos)
        originals = {new: photo_of.get(old, old) for old, new in sorted(names.items())}
        write_marker(folder, {"format": to, "model": model, "photos": originals})
    keeper.report(target)
    if warning:
        log.warning(warning)
    return target


def _warn_of_changed_photos(source: Source) -> None:
    """Say which photos of the model are not what the run read: their pixels may be others."""
    names = sorted(str(source.model.image(i).name) for i in source.model.reg_image_ids())
    here = [name for name in names if path_below(source.images, name).is_file()]
    changed = changed_photos(source.root / "cache", source.images, here)
    if changed:
        log.warning(
            "%s: changed since the run; where more than colours are others, run `sfm run` again",
            listed(changed),
        )


def _stripped(photos: Sequence[Path]) -> str:
    """Take the positions out of exported photos; a warning where some may still hold one."""
    count = sum(map(strip_gps_of, photos))
    noted = (
        f"{count} exported photos keep their makers' own notes, which may hold a position: only the GPS of "
        "EXIF and XMP was taken out; exiftool -makernotes= removes them"
    )
    return noted if count else ""


def _placed(photos: Sequence[Path]) -> str:
    """A warning where exported photos hold a position."""
    count = sum(map(has_gps, photos))
    return (
        f"{count} exported photos hold the GPS position of the camera; --strip-gps removes it"
        if count
        else ""
    )


def _require_photos(root: Path, to: str) -> None:
    if FORMATS[to].needs_photos and not (root / "images").is_dir():
        others = _or(name for name, form in FORMATS.items() if not form.needs_photos)
        raise InputError(
            f"{root} has no photos: it was made from a database by `sfm map`",
            hint=f"export it with --to {others}, or reconstruct the photos with `sfm run`",
        )


def check_format(to: str, depth: DepthOptions | None) -> None:
    """Refuse a format that is not known, and options of depth that it has no use for; raises ConfigError."""
    if to not in FORMATS:
        hint = " or ".join(nearest(to, FORMATS))
        raise ConfigError(
            f"unknown export format {to!r}; known: {', '.join(FORMATS)}",
            hint=f"did you mean {hint}?" if hint else "",
        )
    if depth is not None and depth.scene.surface == "mesh" and to != "views":
        raise ConfigError(f"the export format {to} has no mesh", hint="take views")
    if depth is not None and depth.scene != SceneOptions() and to not in _SCENES:
        raise ConfigError(f"the export format {to} has no scene.glb", hint=f"take {_or(_SCENES)}")
    if depth is not None and not FORMATS[to].has_depth:
        known = _or(name for name, form in FORMATS.items() if form.has_depth)
        raise ConfigError(f"the export format {to} has no depth, nor options of it", hint=f"take {known}")
    if depth is not None and depth.metres and to != "views":
        raise ConfigError(f"the export format {to} keeps the unit of the model; only views can be in metres")


def _refuse_panoramas(source: Source, to: str) -> None:
    """Refuse panoramas where their faces would need depth, or images of the network."""
    if not (FORMATS[to].needs_photos and has_panoramas(source.model)):
        return
    if source.depth is not None or not FORMATS[to].takes_faces:
        cut = _or(name for name, form in FORMATS.items() if form.takes_faces)
        whole = _or(name for name, form in FORMATS.items() if not form.needs_photos)
        raise InputError(
            "a camera of the model sees all around (EQUIRECTANGULAR), and this format's photos are flat",
            hint=f"--to {cut} without depth takes six flat views of each; --to {whole} takes every camera",
        )


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)


def _finished(out: Path) -> Path:
    out = out.expanduser().absolute()
    if not out.is_dir():
        raise InputError(f"{out} is not a folder", hint="give the output folder of an `sfm run`")
    if not model_indices(out):
        raise unfinished(out) or InputError(
            f"{out}: there is no model", hint=f"sfm run PHOTOS -o {out} makes one"
        )
    warn_of_unfinished(out)
    return out
