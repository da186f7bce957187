"""A collection of one photo: no pairs, but depth makes a model of it where the matcher has depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.errors import ReconstructionError
from sfm.loop import LoopResult
from sfm.mapping import ViewGraph, model_of_one_image
from sfm.stages.session import PhotoSession
from sfm.stages.write_results import write_refined
from sfm.types import Collection, Photo

_STEP_PX = 8
"""Between points, px of an image whose longer side is `_LONG_PX`."""
_LONG_PX = 512


def registered_alone(session: PhotoSession, collection: Collection, database: FeatureDatabase) -> LoopResult:
    """Stage: the model of a single photo, at the origin, in the unit of the matcher's depth.

    Raises:
        ReconstructionError: there is no depth of the photo.
    """
    (photo,), alone = collection.photos, session.backend.single_photos
    assert alone is not None, "ingest refuses a single photo then"
    events = session.workspace.events
    with session.stage("register") as counts:
        group = alone.posed_alone(collection)
        assert group.depth is not None
        keypoints = _keypoints(photo, database)
        model = model_of_one_image(
            photo.name,
            database.image_ids()[photo.name],
            collection.cameras[photo.camera_id],
            group.images[photo.name],
            group.depth,
            keypoints.astype(np.float64),
        )
        if model is None:
            raise ReconstructionError(
                f"{photo.name} is the only photo, and its depth is known nowhere",
                hint="add a second photo of the same place",
            )
        database.add_matches({photo.name: keypoints}, {})
        count = model.num_points3D()
        events.emit(
            "register",
            "registered",
            model=0,
            name=photo.name,
            how="depth of one photo",
            num_visible=count,
            num_inliers=count,
        )
        events.emit("register", "aligned", model=0, losses=[], stopped="", depth=group.kept)
        if group.depth.metric:
            events.emit("register", "metric_scale", model=0, source=session.backend.name, scale=1.0)
        pairs = ViewGraph.read(database.path), SceneGraph((photo.name,))
        loop = write_refined(session, LoopResult((model,), *pairs, ()))
        counts.update(models=1, rounds=0, pairs=0)
    return loop


def _keypoints(photo: Photo, database: FeatureDatabase) -> NDArray[np.float32]:
    """(N, 2) px, those that the photo has, as of pairs with a photo that is gone, and a grid."""
    grid = _grid(photo.width, photo.height)
    known = database.keypoint_positions().get(photo.name, grid[:0])
    there = set(map(tuple, known.tolist()))
    new = [tuple(xy) not in there for xy in grid.tolist()]
    return np.vstack((known, grid[new]))


def _grid(width: int, height: int) -> NDArray[np.float32]:
    """(N, 2) px, evenly over the photo."""
    step = max(1.0, _STEP_PX * max(width, height) / _LONG_PX)
    x, y = np.meshgrid(np.arange(step / 2, width, step), np.arange(step / 2, height, step))
    return np.column_stack((x.ravel(), y.ravel())).astype(np.float32)
