"""COLMAP models on disk, read only when whole: COLMAP's reader never ends on truncated files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pycolmap

from sfm.colmap.model_checks import FILES, FORMS, check_files, check_poses
from sfm.colmap.model_poses import find_models, read_names
from sfm.errors import InputError
from sfm.workspace.past_runs import warn_of_unfinished
from sfm.workspace.workspace import content_key


def read_models(path: Path) -> tuple[pycolmap.Reconstruction, ...]:
    """All models at `path`: a model folder, a folder of models 0, 1, …, or the OUT of a run.

    Raises:
        InputError: there is none, or a file is missing, truncated or contradictory; names it.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist", hint="give the OUT of a run or the folder of a COLMAP model"
        )
    warn_of_unfinished(path)
    return tuple(read_whole_model(folder) for folder in find_models(path))


def read_whole_model(folder: Path) -> pycolmap.Reconstruction:
    """One model, of COLMAP 3 or 4, binary or text.

    Raises:
        InputError: a file is missing, truncated or contradictory; names it.
    """
    check_files(folder)
    try:
        model = pycolmap.Reconstruction(folder)
        if not (folder / "images.bin").is_file():
            _restore_names(model, read_names(folder))
    except (ValueError, RuntimeError, IndexError, MemoryError) as error:
        message = (str(error) or type(error).__name__).splitlines()[-1]
        if message == "unordered_map::at":
            message = "an entry of one file names one that is missing in another"
        message = re.sub(r"^\[[\w.:]+\] Check failed: ", "", message)
        raise InputError(f"{folder} is not a whole COLMAP model: {message}") from error
    check_poses(model, folder)
    return model


def _restore_names(model: pycolmap.Reconstruction, names: Mapping[int, str]) -> None:
    """COLMAP's reader of text cuts names at blanks."""
    for image in model.images.values():
        image.name = names.get(image.image_id, image.name)


def model_key(path: Path) -> str:
    """Of the content of all models at `path`."""
    files = [folder / f"{name}.{form}" for folder in find_models(path) for form in FORMS for name in FILES]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()]
    return content_key("model", 1, hashes)
