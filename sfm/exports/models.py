"""COLMAP models and point clouds on disk.

Readers stop or allocate without bound on a truncated model, so models appear complete or not at all.
"""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path, PurePosixPath

import pycolmap

from sfm.colmap.model_files import read_whole_model
from sfm.colmap.model_poses import read_export_marker
from sfm.errors import InputError, WorkspaceError
from sfm.exports.ownership import Keeper, changed_files, write_marker
from sfm.files.atomic import atomic_folder, atomic_write_json
from sfm.georeferencing.georeference import GEOREFERENCE_FILE
from sfm.ingest.names import unique_name
from sfm.workspace.workspace import os_errors_as_workspace_errors

log = logging.getLogger(__name__)

_MODEL_FILES = frozenset(
    f"{part}.{form}"
    for part in ("cameras", "images", "points3D", "rigs", "frames")
    for form in ("bin", "txt")
) | {GEOREFERENCE_FILE}
_UNFINISHED = "unfinished"
_BLANK = re.compile(r"[ \t\n\v\f\r]")


def largest_first(models: Sequence[pycolmap.Reconstruction]) -> list[pycolmap.Reconstruction]:
    """Models by registered images, most first, else in the order given; the order of `sparse/`."""
    return sorted(models, key=lambda model: -model.num_reg_images())


def write_models(
    models: Sequence[pycolmap.Reconstruction],
    out: Path,
    *,
    text: bool,
    notes: Sequence[Mapping[str, object]] = (),
    is_final: bool = True,
) -> tuple[Path, ...]:
    """Write OUT/sparse/0, 1, …, largest first; what was there before goes only once they are complete.

    Files that a trainer or a person put there stay. Where they changed a model of ours, the models as they
    left them are kept in `OUT/sparse-earlier` (`place_for_earlier`).

    Args:
        models: their points should have colours (`Reconstruction.extract_colors_for_all_images`).
        text: also write the `.txt` form beside the `.bin` files.
        notes: for each model, JSON values that go beside it, by file name.
        is_final: whether they are the result of a run, and not what it has come to (`holds_final_models`).

    Returns:
        The model folders, in order.

    Raises:
        WorkspaceError: OUT cannot be written.
    """
    noted = list(zip(models, notes or [{}] * len(models), strict=True))
    noted.sort(key=lambda pair: -pair[0].num_reg_images())
    keeper = Keeper(_is_of_model)
    with os_errors_as_workspace_errors(out):
        _keep_changed(out)
        with atomic_folder(out / "sparse", carry=keeper.carry) as sparse:
            for index, (model, note) in enumerate(noted):
                write_model(model, sparse / str(index), text=text)
                for name, value in note.items():
                    atomic_write_json(sparse / str(index) / name, value)
            write_marker(sparse, {} if is_final else {_UNFINISHED: True})
    return tuple(out / "sparse" / str(index) for index in range(len(models)))


def holds_final_models(out: Path) -> bool:
    """Whether OUT/sparse holds models that are not those of a run in progress, or of one that was stopped."""
    return bool(model_indices(out)) and _UNFINISHED not in read_export_marker(out / "sparse")


def place_for_earlier(out: Path) -> Path:
    """Where models of an earlier run are kept: `OUT/sparse-earlier`, or the first free one with a number."""
    first = out / "sparse-earlier"
    numbered = (first.with_name(f"{first.name}{number}") for number in count(2))
    return next(place for place in chain([first], numbered) if not os.path.lexists(place))


def _keep_changed(out: Path) -> None:
    """Keep all models as they are where a file of one was changed since it was written, or came to it."""
    sparse = out / "sparse"
    changed = [place for place in changed_files(sparse) if _is_of_model(place)]
    if not changed:
        return
    kept = place_for_earlier(out)
    with atomic_folder(kept) as folder:
        Keeper(lambda _: False).carry(sparse, folder)
    log.warning("%s was changed: the models as they were are kept in %s", sparse / changed[0], kept)


def _is_of_model(place: PurePosixPath) -> bool:
    return len(place.parts) == 2 and place.parts[0].isdigit() and place.name in _MODEL_FILES


def write_model(model: pycolmap.Reconstruction, folder: Path, *, text: bool) -> None:
    """Write the five `.bin` files of one model, and the `.txt` ones when asked.

    Raises:
        WorkspaceError: a file came out short, as happens on a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.write_binary(folder)
    check_whole(model, folder)
    if text:
        write_text(model, folder)


def write_text(model: pycolmap.Reconstruction, folder: Path) -> Mapping[str, str]:
    """Write the `.txt` files of one model.

    COLMAP's reader of them cuts a name at its first blank, so blanks are written as `%20`. Returned are the
    changed names, by name of the image.

    Raises:
        WorkspaceError: a file came out short.
    """
    written = _names_without_blanks(model)
    if written:
        model = copy.deepcopy(model)
        for image in model.images.values():
            image.name = written.get(image.name, image.name)
        first = min(written)
        log.warning(
            "images.txt: blanks in %d names are written as %%20 (%r as %r), since readers cut names at them",
            len(written),
            first,
            written[first],
        )
    model.write_text(folder)
    for name in ("cameras.txt", "images.txt", "points3D.txt"):
        if not (folder / name).read_bytes().endswith(b"\n"):
            raise _short(folder / name)
    return written


def _names_without_blanks(model: pycolmap.Reconstruction) -> dict[str, str]:
    names = sorted(str(model.image(image_id).name) for image_id in model.reg_image_ids())
    taken = {name for name in names if not _BLANK.search(name)}
    written = {}
    for name in names:
        if name not in taken:
            written[name] = unique_name(_BLANK.sub(lambda blank: f"%{ord(blank[0]):02X}", name), taken)
            taken.add(written[name])
    return written


def check_whole(model: pycolmap.Reconstruction, folder: Path) -> None:
    """Compare the sizes of images.bin and points3D.bin with what `model` must take.

    COLMAP writes on a full disk without an error, and readers of the truncated file never end. These two are
    written last, so the smaller files are whole when they are.

    Raises:
        WorkspaceError: a file is short.
    """
    images = [model.image(image_id) for image_id in model.reg_image_ids()]
    names = sum(len(image.name.encode(errors="surrogateescape")) + 1 for image in images)
    sizes = {
        "images.bin": 8 + 72 * len(images) + names + 24 * sum(image.num_points2D() for image in images),
        "points3D.bin": 8 + 51 * model.num_points3D() + 8 * model.compute_num_observations(),
    }
    for name, size in sizes.items():
        if (folder / name).stat().st_size != size:
            raise _short(folder / name)


def _short(path: Path) -> WorkspaceError:
    return WorkspaceError(f"cannot write {path}: the file came out short", hint="is the disk full?")


def write_points_ply(models: Sequence[pycolmap.Reconstruction], path: Path) -> None:
    """Write the points of the largest model as a binary PLY: float32 x y z, uint8 red green blue.

    Separate models have unrelated frames, so one file cannot hold them all. Without a model the file of an
    earlier run is removed.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    if not models:
        path.unlink(missing_ok=True)
        return
    partial = path.with_name(f".{path.name}.new")
    try:
        with os_errors_as_workspace_errors(path):
            largest = largest_first(models)[0]
            largest.export_PLY(partial)
            if partial.stat().st_size < 15 * largest.num_points3D():
                raise _short(path)
            partial.replace(path)
    except (ValueError, RuntimeError) as error:
        raise WorkspaceError(f"cannot write {path}: {error}", hint="is the disk full?") from error
    finally:
        partial.unlink(missing_ok=True)


def read_model(out: Path, index: int) -> pycolmap.Reconstruction:
    """Model `index` of workspace OUT.

    Raises:
        InputError: OUT has no such model, or its files are damaged.
    """
    folder = out / "sparse" / str(index)
    if not (folder / "images.bin").is_file():
        have = model_indices(out)
        if have:
            known = ", ".join(map(str, have))
            raise InputError(f"{out}: no model {index}; it has models {known}", hint="choose one of them")
        raise InputError(f"{out}: no model was built there", hint=f"sfm run PHOTOS -o {out} makes one")
    return read_whole_model(folder)


def model_indices(out: Path) -> list[int]:
    """Indices of the models in OUT/sparse, ascending."""
    names = [path.parent.name for path in (out / "sparse").glob("*/images.bin")]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())
