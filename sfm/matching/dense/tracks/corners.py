"""SIFT corners of the photos, for new keypoints to be moved onto: the same places in every photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.matching.backend import BackendContext
from sfm.matching.sift.features import describe
from sfm.types import Collection
from sfm.workspace.events import NullEvents
from sfm.workspace.workspace import content_key

_VERSION = 1


def sift_corners(collection: Collection, context: BackendContext) -> dict[str, NDArray[np.float32]]:
    """Positions (n, 2), px, of SIFT keypoints by photo, kept in a database of their own."""
    path = context.workspace.cache / "corners.db"
    database = FeatureDatabase(path)
    key = content_key("corners", _VERSION, context.config.sift)
    database.sync(collection, StageKeys(key, key, key))
    describe(
        collection,
        database,
        images_dir=context.workspace.images,
        masks_dir=None,
        config=context.config.sift,
        threads=context.threads,
        events=NullEvents(),
        progress=context.progress,
    )
    return database.keypoint_positions()
