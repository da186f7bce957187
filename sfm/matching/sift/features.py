"""Stage: SIFT keypoints and descriptors of every photo that has none yet, written to the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import SiftConfig
from sfm.matching.backend import DescribeReport
from sfm.types import Collection
from sfm.workspace.events import EventSink
from sfm.workspace.machine import free_memory
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import require_space

from . import colmap_extraction, opencv_extraction

_BYTES_PER_PIXEL_AND_THREAD = 260
"""Peak memory, measured at 2400 px on the longer side (4:3): COLMAP 1.5 GB a thread, OpenCV 1.0."""

_BYTES_PER_FEATURE = 500
"""In the database, with orientations beyond the first and SQLite's write-ahead log."""


def describe(
    collection: Collection,
    database: FeatureDatabase,
    *,
    images_dir: Path,
    masks_dir: Path | None,
    config: SiftConfig,
    threads: int,
    events: EventSink,
    progress: Progress,
) -> DescribeReport:
    """Detect and describe keypoints; photos that the database already holds are skipped.

    OpenCV does, or COLMAP where `colmap.sift_extraction` or `colmap.feature_extraction` set something. Most
    of their keypoints coincide to a few hundredths of a pixel; OpenCV takes a third of the time.

    Args:
        collection: photos, already in the database (`FeatureDatabase.sync`).
        database: receives keypoints `(n, 4 or 6) float32` and descriptors `(n, 128) uint8` (RootSIFT).
        masks_dir: folder of masks named `<photo name>.png`, or None.
        threads: upper bound of threads; fewer run when memory is short.
        events: receives a `features` event a photo.
    """
    before = database.num_keypoints()
    todo = [name for name in collection.names if name not in before]
    by = colmap_extraction if config.colmap.values else opencv_extraction
    threads = bounded_threads(threads, config.max_image_size)
    batch = max(8, 4 * threads)
    with progress.task("describe", len(todo), unit="photos") as task:
        for start in range(0, len(todo), batch):
            names = todo[start : start + batch]
            require_space(database.path.parent, len(names) * config.max_num_features * _BYTES_PER_FEATURE)
            by.describe_photos(names, database, images_dir, masks_dir, config, threads)
            task.advance(len(names))
    after = database.num_keypoints()
    for name in collection.names:
        events.emit("describe", "features", name=name, num_keypoints=after.get(name), cached=name in before)
    failed = {name: "it could not be read; save it as JPEG or PNG" for name in todo if name not in after}
    return DescribeReport(len(todo) - len(failed), len(collection.photos) - len(todo), failed)


def bounded_threads(threads: int, max_image_size: int) -> int:
    """At most `threads`, and no more than half of the free memory allows at this image size (px)."""
    needed = 0.75 * max_image_size**2 * _BYTES_PER_PIXEL_AND_THREAD
    return max(1, min(threads, int(free_memory() / 2 / needed)))


def retrieval_descriptors(
    database: FeatureDatabase, names: Sequence[str], *, num_descriptors: int
) -> dict[str, NDArray[np.float32]]:
    """The RootSIFT descriptors `(n, 128) float32`, unit length, of each photo's largest keypoints.

    Large keypoints are repeatable over the widest range of distances, so they distinguish places best.
    """
    return {name: largest_features(*database.features(name), num_descriptors) for name in names}


def largest_features(
    keypoints: NDArray[np.float32], descriptors: NDArray[np.uint8], count: int
) -> NDArray[np.float32]:
    """RootSIFT `(min(n, count), 128) float32`, unit length, of the largest of n keypoints."""
    if keypoints.shape[1] == 6:
        shape = keypoints[:, 2:]
        scale = np.abs(shape[:, 0] * shape[:, 3] - shape[:, 1] * shape[:, 2])
    else:
        scale = keypoints[:, 2]
    order = np.argsort(-scale, kind="stable")[:count]
    chosen = descriptors[order].astype(np.float32)
    return np.asarray(chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-6), np.float32)
