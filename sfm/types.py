"""The immutable values that stages hand to each other."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Orientation = int
"""EXIF orientation tag, 1..8; 1 means that the stored pixels are upright."""


@dataclass(frozen=True, slots=True)
class Exif:
    """How a photo was taken, by its metadata; None where these lack it."""

    make: str | None = None
    model: str | None = None
    focal_px: float | None = None
    """Focal length in pixels of the stored image, from the sensor size or the 35 mm equivalent."""
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    timestamp_s: float | None = None
    """Capture time, seconds since 1970, in the camera's own (unknown) time zone."""


@dataclass(frozen=True, slots=True)
class PositionPrior:
    """The given position of a photo's camera, and its uncertainty."""

    xyz: tuple[float, float, float]
    """Latitude and longitude (deg) and altitude (m) on WGS84; or metres in a frame of the user's own."""
    is_geodetic: bool
    """Whether `xyz` is a place on Earth."""
    sigma_horizontal_m: float
    """Standard deviation of each of x and y, or east and north."""
    sigma_vertical_m: float


@dataclass(frozen=True, slots=True)
class RigSensor:
    """One camera of a rig."""

    prefix: str
    """Begins the names of its photos; what follows is the same for all photos of a frame."""
    is_reference: bool
    rotation: tuple[float, ...] | None = None
    """Of `cam_from_rig`, quaternion w, x, y, z; None where it is not known."""
    translation: tuple[float, ...] | None = None
    model: str | None = None
    """COLMAP's camera model, where the rig's description gives one."""
    params: tuple[float, ...] | None = None

    @property
    def has_pose(self) -> bool:
        """Whether the camera's pose in the rig is known."""
        return self.is_reference or self.rotation is not None


@dataclass(frozen=True, slots=True)
class Rig:
    """Cameras that are fixed to each other, one of them the reference."""

    sensors: tuple[RigSensor, ...]

    @property
    def has_poses(self) -> bool:
        """Whether the poses of all cameras in the rig are known."""
        return all(sensor.has_pose for sensor in self.sensors)


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera of the database: COLMAP's model name, size in px and parameters in COLMAP's order."""

    camera_id: int
    model: str
    width: int
    height: int
    params: tuple[float, ...]
    has_prior_focal_length: bool
    """True when the focal length comes from EXIF, the user or matched pairs, not from a guess."""
    fixed: bool = False
    """True when the user gave the intrinsics: they are not refined."""
    split_from: int | None = None
    """The camera that its photos were taken to share before their intrinsics were found to differ."""
    cropped: bool = False
    """Whether its photo was found to be cut out of a larger one: its principal point may lie anywhere."""
    from_pairs: bool = False
    """Whether its lens was found by the matches of pairs."""

    @property
    def is_spherical(self) -> bool:
        """Whether it sees all around: it has no focal length, and no depth along an axis."""
        return self.model == "EQUIRECTANGULAR"


@dataclass(frozen=True, slots=True)
class Photo:
    """One readable photo. Width and height are those of the stored pixels (EXIF orientation not applied)."""

    name: str
    """Name in the model: POSIX path relative to `OUT/images`."""
    path: Path
    """File whose pixels the model refers to: the user's own, or the upright copy under `OUT/images`."""
    source: Path
    """The user's file."""
    sha256: str
    """Of the user's file; identity for caching."""
    width: int
    height: int
    orientation: Orientation
    camera_id: int
    exif: Exif
    mask: Path | None = None
    position: PositionPrior | None = None
    """From the user's file of positions, else from the photo's GPS."""
    is_camera_still: bool = False
    """Whether the camera stood still, as before a turntable: what rests is its background."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not used, and why, in words for the user."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """All photos of a run, sorted by name, with their cameras."""

    photos: tuple[Photo, ...]
    cameras: Mapping[int, CameraSpec]
    skipped: tuple[Skipped, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Groups of names with equal content; all but the first of a group are in `skipped`."""
    rigs: tuple[Rig, ...] = ()
    """Of photos whose names begin with the prefixes of their cameras; a frame is what is equal after them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all photos, in order."""
        return tuple(photo.name for photo in self.photos)

    @property
    def fixed_cameras(self) -> frozenset[int]:
        """Ids of the cameras whose intrinsics the user gave."""
        return frozenset(camera_id for camera_id, camera in self.cameras.items() if camera.fixed)

    @property
    def cropped_cameras(self) -> frozenset[int]:
        """Ids of the cameras of photos that were found to be crops."""
        return frozenset(camera_id for camera_id, camera in self.cameras.items() if camera.cropped)


class PhotoStatus(enum.StrEnum):
    """How a photo ended."""

    REGISTERED = "registered"
    NOT_REGISTERED = "not_registered"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class PhotoQuality:
    """How well a registered photo's pose is determined; None where unknown."""

    residual_px: float | None
    """Mean distance between its observations and the projections of their points."""
    tri_angle_deg: float | None
    """Median over its points of the largest angle between its ray and that of another photo."""
    sigma_position: float | None
    """Standard deviation of its centre, in the model's unit (metres where the model is georeferenced). Frame
    and scale are chosen so that cameras move least altogether."""
    sigma_rotation_deg: float | None
    why_no_sigma: str
    """Why there are no standard deviations; empty where there are."""
    num_pairs: int
    """Verified pairs with other photos of its model."""
    num_neighbours: int
    """Those pairs that the poses agree with."""
    contradicted: float
    """Share of the matches of its pairs that belong to pairs which the poses contradict, in [0, 1]; pairs
    that may be visual aliasing count only where it has no others."""
    probability: float | None = None
    """That its pose is right, in [0, 1]: neither folded by visual aliasing nor bent."""


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """What became of one photo."""

    name: str
    status: PhotoStatus
    model: int | None = None
    """Index of its model in `sparse/`, largest model first."""
    num_observations: int = 0
    reason: str = ""
    """For photos that are not registered: the step that failed, with its figures, in words."""
    advice: str = ""
    """What the user can do about it."""
    quality: PhotoQuality | None = None
    """Of registered photos."""
    doubt: str = ""
    """Why a registered photo is probably at a wrong place, in words; mostly empty."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round of the closed loop."""

    round: int
    asked: Mapping[str, int]
    """Number of pairs by reason."""
    matched: int
    verified: int
    verified_by_reason: Mapping[str, int]
    registered_before: int
    """0 in rounds before the first registration."""
    registered_after: int
    models_before: int
    models_after: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StageReport:
    """Figures of one stage: how long it took and how much it did or reused."""

    stage: str
    seconds: float
    counts: Mapping[str, int | float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    """Largest resident memory of the process up to the stage's end."""
