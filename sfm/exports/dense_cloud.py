"""One coloured cloud from the depth of all photos, without edges and conflicts and no larger than wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sfm.errors import WorkspaceError
from sfm.exports.partners import Covisibility
from sfm.exports.thinning import ThinnedCloud
from sfm.exports.view_maps import Mask, ViewMap
from sfm.workspace.progress import Progress

_NEIGHBOURS = 8
"""Photos that each photo's points are compared with: those that share the most points with it."""
_TOLERANCE = 0.02
"""Relative depth by which a point must lie before another photo's surface to contradict it."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """N points."""

    xyz: NDArray[np.float32]
    """(N, 3), in the unit of the model."""
    rgb: NDArray[np.uint8]
    """(N, 3)."""
    confidence: NDArray[np.float32]
    """(N,)."""
    num_confident: int
    """Pixels of all photos that are confident and not masked out."""
    num_edges: int
    """Pixels of these that were left out because they lie at a jump in depth."""
    num_conflicts: int
    """Pixels of these that were left out because another photo sees past them."""
    voxel: float
    """Side of the voxels that hold one point each; 0 where nothing had to be thinned out."""


class Depths(Protocol):
    """Depth of the photos of a model."""

    @property
    def image_ids(self) -> Mapping[str, int]:
        """Photos with depth, by name."""

    @property
    def covisibility(self) -> Covisibility:
        """Of the model."""

    def view(self, name: str) -> ViewMap:
        """Depth of a photo."""

    def colours(self, name: str) -> NDArray[np.uint8]:
        """(H, W, 3) of the pixels of `view`."""

    def contradicted(self, name: str) -> Mask | None:
        """(H, W) of `view`: what is known already to contradict other photos; None where nothing is."""


OnView = Callable[[str, ViewMap, Mask, Mask], None]
"""Receives a photo's name, its depth, the confident pixels (H, W) of its surfaces, and those in the cloud."""


def nothing(name: str, view: ViewMap, smooth: Mask, kept: Mask) -> None:
    """Take no notice of a photo."""


def dense_cloud(
    depths: Depths,
    *,
    min_confidence: float,
    max_points: int,
    progress: Progress,
    on_view: OnView = nothing,
) -> Cloud:
    """All that the photos' depths agree about.

    Args:
        max_points: of more points, the most confident one of each voxel is kept; voxels grow until it fits.
        on_view: called for each photo.
    """
    thinned = ThinnedCloud(max_points)
    confident = edges = conflicts = 0
    with progress.task("cloud", len(depths.image_ids), unit="photos") as task:
        for name in sorted(depths.image_ids):
            view = depths.view(name)
            usable = view.usable(min_confidence)
            smooth = usable & ~view.edges()
            points, certain = view.world_points(smooth), view.confidence[smooth]
            known = depths.contradicted(name)
            wrong = (
                _contradicted(depths, view, points, certain, min_confidence)
                if known is None
                else known[smooth]
            )
            finite = np.isfinite(points[:, 0])
            keep = finite & ~wrong
            whole, kept = smooth.copy(), smooth.copy()
            whole[smooth], kept[smooth] = finite, keep
            on_view(name, view, whole, kept)
            thinned.add(points[keep], depths.colours(name)[smooth][keep], certain[keep])
            confident += int(np.count_nonzero(usable))
            edges += int(np.count_nonzero(usable & ~smooth))
            conflicts += int(np.count_nonzero(wrong))
            task.advance()
    xyz, rgb, confidence = thinned.points()
    return Cloud(xyz, rgb, confidence, confident, edges, conflicts, thinned.voxel)


def _contradicted(
    depths: Depths,
    view: ViewMap,
    points: NDArray[np.float64],
    confidence: NDArray[np.float32],
    least: float,
) -> Mask:
    """Points that another photo would have to see before what it sees, with more confidence.

    As MASt3R-SfM (Duisterhof et al., 3DV 2025) cleans its clouds, but with a wider tolerance, because depth
    is not adjusted here until the photos agree. Pixels of the other photo at edges don't count: half a pixel
    aside they show another surface.
    """
    wrong = np.zeros(len(points), np.bool_)
    ids = {image_id: name for name, image_id in depths.image_ids.items()}
    for other_id in depths.covisibility.neighbours(view.image.image_id, _NEIGHBOURS):
        if other_id not in ids or not len(points):
            continue
        other = depths.view(ids[other_id])
        pixel, depth, seen = _seen_by(other, points)
        surface = np.where(other.edges(), 0.0, other.depth).ravel()[pixel]
        certain = other.confidence.ravel()[pixel]
        before = seen & (depth < (1 - _TOLERANCE) * surface) & (certain >= least)
        wrong |= before & (confidence < certain)
    return wrong


def _seen_by(
    view: ViewMap, points: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], Mask]:
    pose = view.image.cam_from_world()
    x, y, z = pose.rotation.matrix() @ points.T + pose.translation[:, None]
    # Distortion is only defined within the image: far outside of it, it may fold back into it.
    wide, high = 1.05 * view.widest_ray()
    seen = (z > 0) & (np.abs(x) <= wide * z) & (np.abs(y) <= high * z)
    where = np.full((len(points), 2), -1.0)
    where[seen] = view.camera.img_from_cam(np.column_stack((x[seen], y[seen], z[seen])))
    pixel, inside = view.grid.pixels(where)
    return pixel, z, seen & inside


def write_cloud_ply(cloud: Cloud, path: Path) -> None:
    """Write a binary PLY as `points.ply` is: float32 x y z, uint8 red green blue.

    Raises:
        WorkspaceError: the file came out short.
    """
    rows = np.empty(len(cloud.xyz), np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))
    rows["xyz"], rows["rgb"] = cloud.xyz, cloud.rgb
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    text = "\n".join([*header, "end_header", ""]).encode()
    with path.open("wb") as file:
        file.write(text)
        rows.tofile(file)
    if path.stat().st_size != len(text) + rows.nbytes:
        raise WorkspaceError(f"cannot write {path}: the file came out short", hint="is the disk full?")
