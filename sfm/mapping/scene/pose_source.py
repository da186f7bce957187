"""Poses of all images of a group at once, as registration expects them from a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pycolmap

from retrieval import Pair

from .depth_source import DepthSource


@dataclass(frozen=True, slots=True)
class PosedImage:
    """A pinhole camera and its pose."""

    cam_from_world: pycolmap.Rigid3d
    focal_px: tuple[float, float]
    """Along x and y of the stored image."""
    principal_point: tuple[float, float]
    """px, COLMAP's convention."""


@dataclass(frozen=True, slots=True)
class PosedGroup:
    """Images that were aligned together, in a frame and a unit of their own, or in those of known poses."""

    images: Mapping[str, PosedImage]
    losses: tuple[float, ...] = ()
    """The last loss of each stage of the alignment."""
    depth: DepthSource | None = None
    """Depth of the images in the unit of the group."""
    stopped: str = ""
    """Why the alignment ended early, in words for the user; empty when it didn't."""
    lost: Mapping[Pair, str] = field(default_factory=dict)
    """Pairs of which a direction could not be computed, and why; the next run tries them again."""
    kept: str = ""
    """Key under which depth of every pixel is kept for exports; empty where it isn't."""

    @classmethod
    def all_of(cls, groups: Sequence[PosedGroup], lost: Mapping[Pair, str]) -> list[PosedGroup]:
        """The groups, the first of which, or an empty one, tells of lost pairs."""
        first, *rest = groups or [cls({})]
        return [replace(first, lost=lost), *rest] if lost else list(groups)


class PoseSource(Protocol):
    """Aligns images by what is known of their pairs."""

    def groups(
        self, pairs: Iterable[Pair] | None = None, known: Mapping[str, pycolmap.Rigid3d] | None = None
    ) -> Sequence[PosedGroup]:
        """A group for each connected graph of the pairs, largest first; None takes all pairs there are.

        Pairs of which the source knows nothing are left out.

        Args:
            pairs: of images.
            known: poses of images by name, all of one world; groups that have any are in that world, and keep
                them to the last bit.
        """
