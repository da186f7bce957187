"""A run's own scene: `scene.glb`, `views.json`, `depth/` and `confidence/` in its output folder.

Each is written whole or not at all. What others put there, or changed, is kept under another name.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory

from sfm.colmap.model_poses import read_export_marker
from sfm.errors import InputError
from sfm.exports.cube_faces import has_panoramas
from sfm.exports.earlier_scene import FOLDERS, SHOWN, refuse_foreign_folders, shown_model
from sfm.exports.ownership import BESIDE, Keeper, described, is_unchanged, write_marker
from sfm.exports.source import Source
from sfm.exports.views import write_views
from sfm.files.atomic import atomic_folder

log = logging.getLogger(__name__)

_FILES = ("scene.glb", "views.json")


def write_scene(source: Source, scratch: Path) -> None:
    """Write what `sfm export --to views` writes into the output folder itself, without its dense PLY.

    Args:
        source: the largest model of the output.
        scratch: existing folder on the same disk, for files that are only needed meanwhile.

    Raises:
        InputError: there are no photos, one has changed since they were read, or one is a panorama.
        WeightsError, MissingDependencyError: there is no aligned depth, and no network or not the device.
        ReconstructionError: no photo's depth agrees with the model.
        WorkspaceError: somebody else's folder has the place of `depth/` or `confidence/`.
    """
    root = source.root
    if not source.images.is_dir():
        raise InputError(
            f"{root} has no photos, so that there is no scene", hint="export.scene is for `sfm run`"
        )
    if has_panoramas(source.model):
        raise InputError(
            "a camera of the model sees all around (EQUIRECTANGULAR), and the photos of a scene are flat",
            hint="sfm export --to 3dgs or nerfstudio takes six flat views of each",
        )
    refuse_foreign_folders(root)
    with TemporaryDirectory(dir=scratch) as name:
        made, before = Path(name), _written_before(root)
        write_views(source, made)
        # The files before stay ours until the last of the new ones has its place, should this be killed.
        beside = {file: [described(made / file), *before.get(file, [])[:1]] for file in _FILES}
        for part in FOLDERS:
            keeper = Keeper()
            with atomic_folder(root / part, carry=keeper.carry) as folder:
                for entry in sorted(os.listdir(made / part)):
                    shutil.move(made / part / entry, folder / entry)
                write_marker(folder, {"format": "views", BESIDE: beside, SHOWN: shown_model(root)})
            keeper.report(root / part)
        for file in _FILES:
            _keep_changed(root / file, before.get(file, []))
            os.replace(made / file, root / file)


def _written_before(root: Path) -> Mapping[str, list[object]]:
    """Descriptions of our files, by name."""
    beside = read_export_marker(root / FOLDERS[0]).get(BESIDE)
    if not isinstance(beside, dict):
        return {}
    return {name: known for name, known in beside.items() if isinstance(known, list)}


def _keep_changed(path: Path, known: list[object]) -> None:
    if not os.path.lexists(path) or any(is_unchanged(path, one) for one in known):
        return
    first = path.with_name(f"{path.name}.kept")
    numbered = (first.with_name(f"{first.name}{number}") for number in count(2))
    kept = next(place for place in chain([first], numbered) if not os.path.lexists(place))
    path.rename(kept)
    log.warning("%s was changed: it is kept as %s", path, kept.name)
