"""A mapping problem: a database of verified pairs, and the options that registration and refinement share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sfm.config.schema import RefineConfig, RegisterConfig

from .scene.depth_source import DepthSource
from .scene.existing_models import ExistingModels
from .scene.photo_source import PhotoSource
from .scene.pose_source import PoseSource


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingProblem:
    """What `reconstruct` and `refine_models` work on.

    COLMAP's own mappers use neither focal guesses, depth, poses, existing models nor the scratch folder.
    """

    database: Path
    """COLMAP database with keypoints and two-view geometries; only read."""
    config: RegisterConfig
    """How images are registered; `config.mapper` chooses our registrar, alignment or one of COLMAP's
    mappers."""
    refine: RefineConfig
    """Which intrinsics may change."""
    fixed_cameras: frozenset[int] = frozenset()
    """Ids of cameras whose intrinsics never change."""
    cropped_cameras: frozenset[int] = frozenset()
    """Ids of cameras of cropped images, whose principal points the last adjustment frees."""
    focal_guesses: Mapping[int, float] = field(default_factory=dict)
    """Focal lengths (px) by camera id, for cameras without a better estimate. They are held constant where
    nearly all tracks have length 2."""
    depth: DepthSource | None = None
    """Depth of single images: for images without shared points or parallax, and for metric scale."""
    photos: PhotoSource | None = None
    """Photos, by whose appearance placements are judged; None: by what images observe again."""
    poses: PoseSource | None = None
    """Poses of many images at once: of mapper alignment, and for images from which no seed starts a model."""
    keeps_aligned: bool = False
    """Whether mapper alignment leaves poses and intrinsics as aligned."""
    existing: ExistingModels | None = None
    """Models made elsewhere, which are extended and never replaced."""
    threads: int
    """Threads to use; equal results are promised for 1, with more the order of sums varies."""
    seed: int
    """Of everything random."""
    scratch: Path | None = None
    """Folder of this run alone for files that processes exchange, left empty; None: a temporary folder."""

    @property
    def frozen(self) -> ExistingModels | None:
        """The existing models, if their poses, intrinsics and points must stay as they are."""
        return self.existing if self.existing is not None and self.existing.frozen else None
