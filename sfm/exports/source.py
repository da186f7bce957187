"""What an export is made from, and the options of those that ask the network for depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pycolmap

from sfm.errors import ConfigError
from sfm.workspace.progress import Progress, SilentProgress


@dataclass(frozen=True, slots=True)
class DepthOptions:
    """How depth is asked for and what of it is written.

    Raises:
        ConfigError: a number out of range.
    """

    min_confidence: float = 1.5
    """Depth below it is left out of PNG files and of the cloud; the network's confidences start at 1."""
    max_points: int = 2_000_000
    """Points of the cloud; of more, those of the highest confidence are kept, evenly in space."""
    pairs_per_view: int = 3
    """Pairs from which the depth of each photo is merged."""
    full_size: bool = False
    """Depth and confidence for every pixel of the photos instead of the network's images."""
    metres: bool = False
    """Depth, cloud and poses in metres, as the network estimates them, instead of the model's unit."""
    overrides: tuple[str, ...] = ()
    """`key=value` texts over the configuration of the run, such as `mast3r.device=cpu`."""

    def __post_init__(self) -> None:
        for name, least in (("min_confidence", 0), ("max_points", 1), ("pairs_per_view", 1)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} must be at least {least}, not {getattr(self, name)}")


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

    @property
    def images(self) -> Path:
        """Folder that the model's image names refer to."""
        return self.root / "images"
