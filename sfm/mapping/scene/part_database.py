"""A part of a scene as a small COLMAP database, for a mapper that reads a database of its own.

What a process maps beside others is such a part, and what COLMAP's global mapper is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Pair

from .scene import Scene


def write_part(
    scene: Scene, names: Set[str], path: Path, matches: Mapping[Pair, NDArray[np.int64]] | None = None
) -> None:
    """Write images, their cameras as the scene has them, and the pairs of the scene between these images.

    Args:
        scene: pairs that it leaves out stay out. Nothing is read from its own database.
        names: images of the scene. The other images of their frames go in without pairs.
        path: a new file. Ids are those of the scene. Of keypoints only positions go in, and no pose priors.
        matches: of each pair those that go in, keypoints of `pair.a` and of `pair.b`, (M, 2); None: all.
    """
    cache = scene.cache
    frames = [cache.frame(i) for i in sorted({cache.image(scene.id_of[name]).frame_id for name in names})]
    rigs = [cache.rig(rig_id) for rig_id in sorted({frame.rig_id for frame in frames})]
    ids = sorted(data.id for frame in frames for data in frame.image_ids)
    sensors = {sensor.id for rig in rigs for sensor in (rig.ref_sensor_id, *rig.non_ref_sensors)}
    with pycolmap.Database.open(path) as db, pycolmap.DatabaseTransaction(db):
        for camera_id in sorted(sensors | {cache.image(i).camera_id for i in ids}):
            db.write_camera(cache.camera(camera_id), use_camera_id=True)
        for rig in rigs:
            db.write_rig(rig, use_rig_id=True)
        for frame in frames:
            db.write_frame(frame, use_frame_id=True)
        for image_id in ids:
            db.write_image(cache.image(image_id), use_image_id=True)
            db.write_keypoints(image_id, scene.keypoints(image_id))
        _write_pairs(scene, names, db, matches)


def _write_pairs(
    scene: Scene,
    names: Set[str],
    db: pycolmap.Database,
    matches: Mapping[Pair, NDArray[np.int64]] | None,
) -> None:
    correspondences = scene.cache.correspondence_graph
    for pair in scene.view_graph.edges:
        if pair.a in names and pair.b in names:
            id_1, id_2 = sorted((scene.id_of[pair.a], scene.id_of[pair.b]))
            geometry = correspondences.extract_two_view_geometry(id_1, id_2, True)
            if matches is not None:
                ends = matches[pair] if id_1 == scene.id_of[pair.a] else matches[pair][:, ::-1]
                geometry.inlier_matches = np.ascontiguousarray(ends, np.uint32)
            db.write_two_view_geometry(id_1, id_2, geometry)
