"""True poses, from a `gt.json` or from a COLMAP model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from sfm.colmap.model_cameras import checked_cameras
from sfm.colmap.model_poses import Poses, find_models, read_poses
from sfm.errors import InputError
from sfm.untrusted.documents import read_json
from sfm.untrusted.numbers import checked_reals, real, shown

_ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """True poses of images, in one frame, or in one per component."""

    poses: Poses
    """cam_from_world by image name, sorted."""
    components: Mapping[str, str] | None
    """Scene of each image where the images show several scenes whose frames are unrelated."""
    unit: str | None
    """Unit of length, `m` or None where the scale is arbitrary."""
    cameras: Mapping[str, pycolmap.Camera] | None = None
    """True intrinsics of the images whose are known, by name."""
    position_accuracy: float | None = None
    """Of the true centres, in the unit, where those who measured them state it."""
    metres_per_unit: float | None = None
    """Where the frame is of arbitrary scale but has been measured."""

    @property
    def min_baseline(self) -> float:
        """Cameras nearer to each other than this have no baseline whose direction is known.

        The stated accuracy of positions; where none is stated 1 mm.
        """
        if self.position_accuracy is not None:
            return self.position_accuracy
        return 1e-3 if self.unit == "m" else 1e-9

    @property
    def metres(self) -> float | None:
        """Metres in one unit of length; None where unknown."""
        return 1.0 if self.unit == "m" else self.metres_per_unit

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Image names by component; one group named "" without components."""
        if self.components is None:
            return {"": tuple(self.poses)}
        labels = sorted(set(self.components.values()))
        return {label: tuple(n for n in self.poses if self.components[n] == label) for label in labels}


def load_ground_truth(path: Path) -> GroundTruth:
    """Read `gt.json`, a folder that holds one, or a COLMAP model folder (several models are components).

    A `gt.json` has `images: {NAME: {R_cw, t_cw}}` (x_cam = R_cw x_world + t_cw) and, where they are known,
    `unit`, `components: {NAME: SCENE}`, `cameras: {NAME: {model, width, height, params}}` (COLMAP's models),
    `position_accuracy` (in the unit) and `metres_per_unit`.

    Raises:
        InputError: nothing of the kind is there, or it is damaged; the message names file and entry.
    """
    if path.is_dir() and (path / "gt.json").is_file():
        path = path / "gt.json"
    if path.is_file():
        return _from_json(path)
    if not path.exists():
        raise InputError(f"{path} does not exist", hint="give a gt.json or the folder of a COLMAP model")
    return _from_models(find_models(path))


def _from_models(folders: tuple[Path, ...]) -> GroundTruth:
    if len(folders) == 1:
        return GroundTruth(read_poses(folders[0]), None, None)
    poses: dict[str, pycolmap.Rigid3d] = {}
    components: dict[str, str] = {}
    for folder in folders:
        for name, pose in read_poses(folder).items():
            if name not in poses:  # an image in two models counts in the first, COLMAP's larger one
                poses[name], components[name] = pose, folder.name
    return GroundTruth(dict(sorted(poses.items())), components, None)


def _from_json(path: Path) -> GroundTruth:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), dict) or not content["images"]:
        raise InputError(f'{path}: expected {{"images": {{NAME: {{"R_cw": 3x3, "t_cw": 3}}}}}}')
    poses = {name: _pose(entry, f"{path}: image {name!r}") for name, entry in content["images"].items()}
    unit = content.get("unit")
    if unit is not None and not isinstance(unit, str):
        raise InputError(f"{path}: unit must be a string or null, found {shown(unit)}")
    return GroundTruth(
        dict(sorted(poses.items())),
        _components(content.get("components"), poses, path),
        unit,
        checked_cameras(content.get("cameras"), poses, str(path)),
        _length(content, "position_accuracy", path),
        _length(content, "metres_per_unit", path),
    )


def _pose(entry: object, where: str) -> pycolmap.Rigid3d:
    fields = entry if isinstance(entry, dict) else {}
    rows = fields.get("R_cw")
    if not isinstance(rows, list) or len(rows) != 3:
        raise InputError(f"{where}: R_cw (3x3) and t_cw (3) must be given as numbers")
    rotation = np.array([checked_reals(row, 3, f"{where}: R_cw") for row in rows])
    translation = np.array(checked_reals(fields.get("t_cw"), 3, f"{where}: t_cw"))
    if not is_rotation(rotation):
        raise InputError(f"{where}: R_cw is not a rotation")
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), translation)


def is_rotation(matrix: np.ndarray) -> bool:
    """Whether (3, 3) is a rotation matrix, to a thousandth; not so with numbers that are not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        off = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    return off < _ROTATION_TOLERANCE and float(np.linalg.det(matrix)) > 0


def _components(content: object, poses: Poses, path: Path) -> Mapping[str, str] | None:
    if content is None:
        return None
    if not isinstance(content, dict):
        raise InputError(f"{path}: components must map photo names to scenes")
    missing = sorted(set(poses) - set(content))
    if missing:
        raise InputError(f"{path}: components lacks {', '.join(missing[:5])}")
    return {name: str(content[name]) for name in poses}


def _length(content: Mapping[str, object], key: str, path: Path) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    found = None if isinstance(value, str) else real(value)
    if found is None or found <= 0:
        raise InputError(f"{path}: {key} must be a positive number or null, found {shown(value)}")
    return found
