"""A model, or a cloud in its frame, against the laser scans of its scene."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from photo_sets import BenchmarkScene

from metrics.clouds import read_cloud, read_crop
from metrics.points import Array, PointScore, score_points, thinned
from sfm.colmap.model_files import read_whole_model
from sfm.colmap.model_poses import read_poses
from sfm.errors import InputError
from sfm.evaluation.metrics import centres
from sfm.evaluation.names import match_names
from sfm.geometry.similarity import fit_similarity

TANKS_AND_TEMPLES_M = {
    "Barn": 0.01,
    "Caterpillar": 0.005,
    "Church": 0.025,
    "Courthouse": 0.025,
    "Ignatius": 0.003,
    "Meetingroom": 0.01,
    "Truck": 0.005,
}
"""The distance at which each scene is judged, metres."""
ETH3D_M = (0.01, 0.02, 0.05, 0.1)


def distances_of(scene: BenchmarkScene) -> tuple[float, ...]:
    """At which the scene's dataset judges, metres."""
    known = TANKS_AND_TEMPLES_M.get(scene.scene) if scene.dataset == "tanks_and_temples" else None
    return ETH3D_M if known is None else (known,)


def scan_scores(
    scene: BenchmarkScene, model: Path, distances: Sequence[float], *, cloud: Path | None = None
) -> tuple[PointScore, ...]:
    """Scores of the model's points, or of a cloud in the model's frame.

    The model is brought to the truth by the similarity of camera centres; Tanks and Temples' own program then
    refines that against the scan, which this does not. Points and scans are cut to the scene's volume and
    thinned to cells of half of each distance.

    Args:
        scene: with scans.
        model: folder of a COLMAP model.
        distances: metres.
        cloud: PLY file to be judged instead of the model's points.

    Raises:
        InputError: the scene has no scans, a file is damaged, or fewer than three photos are in both.
    """
    if not scene.scans:
        raise InputError(
            f"{scene.name} has no scans", hint="get the dataset's scans, where there are public ones"
        )
    points = _in_scan_frame(scene, model, _points_of(model) if cloud is None else read_cloud(cloud))
    scans = np.concatenate([_placed(read_cloud(scan.file), scan.world_from_scan) for scan in scene.scans])
    if scene.crop is not None:
        volume = read_crop(scene.crop)
        points, scans = points[volume.holds(points)], scans[volume.holds(scans)]
    return tuple(
        score
        for distance in distances
        for score in score_points(thinned(points, distance / 2), thinned(scans, distance / 2), [distance])
    )


def truth_from_model(scene: BenchmarkScene, model: Path) -> pycolmap.Sim3d:
    """The similarity of camera centres over the photos that both know.

    Raises:
        InputError: fewer than three, or all in one place.
    """
    poses = read_poses(model)
    names = match_names(poses, scene.truth.poses)
    source = centres(poses, list(names))
    fit = fit_similarity(source, centres(scene.truth.poses, list(names.values())))
    if fit is None:
        raise InputError(f"{model} cannot be aligned with {scene.name}: {len(names)} photos in common")
    return fit


def _in_scan_frame(scene: BenchmarkScene, model: Path, points: Array) -> Array:
    moved = np.asarray(truth_from_model(scene, model) * points)
    further = scene.scans_from_world
    return moved if further is None else _placed(moved, np.asarray(further.matrix(), dtype=np.float64))


def _placed(points: Array, matrix: Array) -> Array:
    """Points by a matrix (3 or 4, 4)."""
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3], dtype=np.float64)


def _points_of(model: Path) -> Array:
    found = [point.xyz for point in read_whole_model(model).points3D.values()]
    return np.array(found, dtype=np.float64).reshape(-1, 3)
