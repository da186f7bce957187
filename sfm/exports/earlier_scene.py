"""The scene that an earlier run left in its output folder: whether it shows the model that is there now."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from sfm.colmap.model_poses import read_export_marker
from sfm.exports.ownership import described, is_unchanged, refuse_foreign

log = logging.getLogger(__name__)

FOLDERS = ("depth", "confidence")
"""Those of a scene, in the output folder."""
SHOWN = "shown"
"""In the marker of a scene: the files of the model that it shows."""
_FILES = ("cameras.bin", "images.bin")


def shown_model(root: Path) -> Mapping[str, list[object]]:
    """What tells the largest model of an output from others."""
    return {file: described(root / "sparse" / "0" / file) for file in _FILES}


def refuse_foreign_folders(root: Path) -> None:
    """Refuse an output where something else than an earlier scene has the place of a folder of the scene.

    Raises:
        WorkspaceError: naming the folder.
    """
    for part in FOLDERS:
        refuse_foreign(root / part, "scene")


def tell_of_earlier_scene(root: Path) -> None:
    """Say so where a scene of ours shows another model than the largest one there is."""
    marker = read_export_marker(root / "depth")
    if marker.get("format") != "views":
        return
    shown = marker.get(SHOWN)
    known = shown if isinstance(shown, dict) else {}
    if not all(is_unchanged(root / "sparse" / "0" / file, known.get(file)) for file in _FILES):
        log.warning(
            "%s, depth/ and confidence/ show the model of an earlier run: export.scene=points renews them",
            root / "scene.glb",
        )
