"""What an export is made from, and the options of those that ask the network for depth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pycolmap

from sfm.config.schema import Config
from sfm.errors import ConfigError
from sfm.workspace.progress import Progress, SilentProgress

Surface = Literal["points", "mesh"]
Frame = Literal["upright", "first-camera"]


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What `scene.glb` shows, and how it stands.

    Raises:
        ConfigError: a word that is not known, or a negative size.
    """

    surface: Surface = "points"
    """points: the cloud; mesh: a textured surface of each photo, without triangles across edges in depth."""
    frame: Frame = "upright"
    """upright: the model's frame, turned so that y is up; first-camera: the camera of the first photo by name
    is at the origin and looks along -z."""
    photos: bool = True
    """Whether cameras carry their photo on their image plane."""
    camera_size: float | None = None
    """Distance from a camera to its image plane, in the unit of the export; 0 draws no cameras, and None
    takes what fits the scene."""

    def __post_init__(self) -> None:
        for name, words in (("surface", get_args(Surface)), ("frame", get_args(Frame))):
            if getattr(self, name) not in words:
                raise ConfigError(f"{name} must be {' or '.join(words)}, not {getattr(self, name)!r}")
        if self.camera_size is not None and not 0 <= self.camera_size < math.inf:
            raise ConfigError(f"camera_size must be finite and at least 0, not {self.camera_size}")


@dataclass(frozen=True, slots=True)
class DepthOptions:
    """How depth is asked for and what of it is written.

    Raises:
        ConfigError: a number out of range.
    """

    min_confidence: float = 1.5
    """Depth below it is left out of PNG files and of the cloud; the network's confidences start at 1."""
    max_points: int = 2_000_000
    """Points of the cloud; of more, those of the highest confidence are kept, evenly in space. A mesh has at
    most as many corners: of more, every second pixel makes it, or every third."""
    pairs_per_view: int = 3
    """Pairs from which the depth of each photo is merged."""
    full_size: bool = False
    """Depth and confidence for every pixel of the photos instead of the network's images."""
    metres: bool = False
    """Depth, cloud and poses in metres, as the network estimates them, instead of the model's unit."""
    overrides: tuple[str, ...] = ()
    """`key=value` texts over the configuration of the run, such as `mast3r.device=cpu`."""
    scene: SceneOptions = SceneOptions()
    """What `scene.glb` shows."""

    def __post_init__(self) -> None:
        for name, least in (("min_confidence", 0), ("max_points", 1), ("pairs_per_view", 1)):
            if not least <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be finite and at least {least}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Source:
    """A model of a finished workspace."""

    root: Path
    """The workspace."""
    model: pycolmap.Reconstruction
    index: int = 0
    """Of the model in the workspace."""
    depth: DepthOptions | None = None
    """None where depth isn't asked for."""
    progress: Progress = field(default_factory=SilentProgress)
    config: Config | None = None
    """Of the run; None reads it from `run.json`."""
    events: Path | None = None
    """Of the run; None: `events.jsonl` of the workspace."""

    threads: int | None = None
    """To use; None takes those of the run's configuration for the network, and all cores for photos."""
    photo_folder: Path | None = None
    """Of the model's images; None: `images` of the workspace."""

    @property
    def events_path(self) -> Path:
        """Every decision of the run that made the model."""
        return self.events or self.root / "events.jsonl"

    @property
    def images(self) -> Path:
        """Folder that the model's image names refer to."""
        return self.photo_folder or self.root / "images"
