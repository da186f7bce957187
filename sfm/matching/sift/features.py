"""Stage: SIFT keypoints and descriptors of every photo that has none yet, written to the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import SiftConfig
from sfm.matching.backend import DescribeReport
from sfm.types import Collection
from sfm.workspace.events import EventSink
from sfm.workspace.machine import free_memory
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import require_space

_BYTES_PER_PIXEL_AND_THREAD = 260
"""Peak memory of pycolmap's SIFT, measured: 1.5 GB a thread at 2400 px on the longer side (4:3)."""

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

    Args:
        collection: photos, already in the database (`FeatureDatabase.sync`).
        database: receives keypoints `(n, 6) float32` and descriptors `(n, 128) uint8` (RootSIFT).
        masks_dir: folder of masks named `<photo name>.png`, or None.
        threads: upper bound of threads; fewer run when memory is short.
        events: receives a `features` event a photo.
    """
    before = database.num_keypoints()
    todo = [name for name in collection.names if name not in before]
    options = extraction_options(config, bounded_threads(threads, config.max_image_size))
    reader = pycolmap.ImageReaderOptions()
    if masks_dir is not None:
        reader.mask_path = masks_dir
    batch = max(8, 4 * options.num_threads)
    with progress.task("describe", len(todo), unit="photos") as task:
        for start in range(0, len(todo), batch):
            names = todo[start : start + batch]
            require_space(database.path.parent, len(names) * config.max_num_features * _BYTES_PER_FEATURE)
            pycolmap.extract_features(
                database.path,
                images_dir,
                image_names=names,
                reader_options=reader,
                extraction_options=options,
                device=pycolmap.Device.cpu,
            )
            task.advance(len(names))
    after = database.num_keypoints()
    for name in collection.names:
        events.emit("describe", "features", name=name, num_keypoints=after.get(name), cached=name in before)
    failed = {name: "COLMAP could not read it; save it as JPEG or PNG" for name in todo if name not in after}
    return DescribeReport(len(todo) - len(failed), len(collection.photos) - len(todo), failed)


def extraction_options(config: SiftConfig, threads: int) -> pycolmap.FeatureExtractionOptions:
    """pycolmap's options for ours."""
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = threads
    options.use_gpu = False
    options.max_image_size = config.max_image_size
    options.sift.max_num_features = config.max_num_features
    options.sift.upright = config.upright
    config.colmap.set_on("feature_extraction", options)
    config.colmap.set_on("sift_extraction", options.sift)
    return options


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
