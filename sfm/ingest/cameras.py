"""Which photos share a camera, and what each camera starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median

import pycolmap

from sfm.config.schema import ImagesConfig
from sfm.errors import ConfigError, InputError
from sfm.ingest.intrinsics import KnownCamera, Size, parse_camera_params, read_cameras_file
from sfm.types import CameraSpec, RigSensor

_FOCAL_SPREAD = 1.05
"""Photos made to share a camera have one focal length when theirs differ by less than this factor."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What decides on a photo's camera."""

    name: str
    size: Size
    """Width and height of the stored pixels: a photo and its quarter turn have different cameras."""
    focal_px: float | None = None
    device: str = ""
    """Equal for photos of one camera at one zoom setting; empty when unknown."""
    sensor: RigSensor | None = None
    """The camera of a rig that took it: its photos share one camera, whatever the metadata hold."""
    is_panorama: bool = False
    """Whether its pixels show the whole sphere."""

    @property
    def folder(self) -> str:
        """Folder of the photo, `.` at the top."""
        return str(PurePosixPath(self.name).parent)


def assign_cameras(
    shots: Sequence[Shot], config: ImagesConfig
) -> tuple[Mapping[int, CameraSpec], Mapping[str, int]]:
    """Cameras by id, and each photo's camera id.

    Args:
        shots: all photos, in the order of names; camera ids start at 1 in the order of their first photos.

    Raises:
        ConfigError: two kinds of known intrinsics at once.
        InputError: sizes that cannot share a camera, or intrinsics that do not fit the photos.
    """
    known = _known_cameras(shots, config)
    groups: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        groups.setdefault(_group_key(shot, config.camera_sharing, has_known=bool(known)), []).append(shot)
    cameras: dict[int, CameraSpec] = {}
    camera_ids: dict[str, int] = {}
    for camera_id, group in enumerate(groups.values(), start=1):
        size = _only_size(group)
        fixed = known.get(size)
        cameras[camera_id] = _fixed(camera_id, fixed) if fixed else _guessed(camera_id, group, config)
        camera_ids.update((shot.name, camera_id) for shot in group)
    return cameras, camera_ids


def _group_key(shot: Shot, sharing: str, *, has_known: bool) -> Hashable:
    if shot.sensor is not None:
        return (shot.sensor.prefix,)
    match sharing:
        case "single":
            return None
        case "per_image":
            return shot.name
        case "per_folder":
            return (shot.folder, shot.size)
    if has_known:
        return shot.size
    if shot.focal_px is None or not shot.device:
        return (shot.device, shot.focal_px, shot.folder, shot.size)
    return (shot.device, shot.focal_px, shot.size)


def _only_size(group: Sequence[Shot]) -> Size:
    sizes = Counter(shot.size for shot in group)
    sensor = group[0].sensor
    if len(sizes) > 1 and sensor is not None:
        raise InputError(
            f"images.rig_config: the photos of {sensor.prefix!r} have {len(sizes)} sizes: {_counts(sizes)}",
            hint="a camera of a rig takes photos of one size",
        )
    if len(sizes) > 1:
        raise InputError(
            f"images.camera_sharing: single, but the photos have {len(sizes)} sizes: {_counts(sizes)}",
            hint="use images.camera_sharing=auto, or photos of one size that are not turned",
        )
    return group[0].size


def _known_cameras(shots: Sequence[Shot], config: ImagesConfig) -> Mapping[Size, KnownCamera]:
    if config.camera_params is not None and config.cameras_file is not None:
        raise ConfigError(
            "images.camera_params and images.cameras_file are both given", hint="give one of the two"
        )
    sizes = Counter(shot.size for shot in shots)
    if config.cameras_file is not None:
        return _cameras_from_file(Path(config.cameras_file), sizes)
    if config.camera_params is None:
        return {}
    if len(sizes) > 1:
        raise InputError(
            f"images.camera_params is for photos of one size, but there are {len(sizes)}: {_counts(sizes)}",
            hint="give a camera per size in a cameras.txt: images.cameras_file=cameras.txt",
        )
    return {
        size: parse_camera_params(config.camera_params, config.first_camera_model, size) for size in sizes
    }


def _cameras_from_file(path: Path, sizes: Counter[Size]) -> Mapping[Size, KnownCamera]:
    known = {camera.size: camera for camera in read_cameras_file(path)}
    missing = Counter({size: count for size, count in sizes.items() if size not in known})
    if missing:
        raise InputError(
            f"{path} has no camera for photos of {_counts(missing)}; it has "
            + ", ".join(f"{w} x {h}" for w, h in known),
            hint="sizes are those of the stored pixels, before any turning that EXIF asks for",
        )
    return known


def _fixed(camera_id: int, known: KnownCamera) -> CameraSpec:
    return CameraSpec(
        camera_id, known.model, *known.size, known.params, has_prior_focal_length=True, fixed=True
    )


def _guessed(camera_id: int, group: Sequence[Shot], config: ImagesConfig) -> CameraSpec:
    width, height = group[0].size
    sensor = group[0].sensor
    if sensor is not None and sensor.model is not None and sensor.params is not None:
        return CameraSpec(camera_id, sensor.model, width, height, sensor.params, has_prior_focal_length=True)
    camera_model = sensor.model if sensor is not None else None
    if camera_model is None:
        around = config.camera_model == "auto" and 2 * sum(one.is_panorama for one in group) > len(group)
        camera_model = "EQUIRECTANGULAR" if around else config.first_camera_model
    focals = [shot.focal_px for shot in group if shot.focal_px is not None]
    focal = median(focals) if focals else config.default_focal_factor * max(width, height)
    camera = pycolmap.Camera.create_from_model_name(camera_id, camera_model, focal, width, height)
    # Zoomed photos that must share a camera have no focal length to believe in; some models need none.
    trusted = bool(focals) and max(focals) <= _FOCAL_SPREAD * min(focals)
    trusted = trusted or not camera.focal_length_idxs()
    params = tuple(float(value) for value in camera.params)
    return CameraSpec(camera_id, camera_model, width, height, params, has_prior_focal_length=trusted)


def _counts(sizes: Counter[Size]) -> str:
    shown = [f"{w} x {h} ({count} photos)" for (w, h), count in sizes.most_common(6)]
    more = [f"and {len(sizes) - 6} more"] if len(sizes) > 6 else []
    return ", ".join(shown + more)
