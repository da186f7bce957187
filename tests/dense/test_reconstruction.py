"""From dense matches through COLMAP to poses: canonical keypoints against naive merging in one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.evaluation.metrics import auc, pair_errors
from sfm.matching.dense.tracks.keypoints import KeypointOptions, TrackKeypoints, build_tracks
from sfm.matching.dense.tracks.raw_tracks import raw_keypoints
from tests.dense.scenes import Noise, make_scene, neighbour_pairs


@pytest.mark.slow
def test_canonical_keypoints_give_longer_tracks_and_better_poses(tmp_path: Path) -> None:
    scene = make_scene(8, size=(288, 384), arc_deg=80, photo_px=(2.0, 3.0))
    pairs = scene.all_matches(neighbour_pairs(scene, 4), noise=Noise(0.6, 0.2, 0.2))
    cameras = {camera.name: camera.colmap_camera for camera in scene.cameras}
    truth = {camera.name: camera.cam_from_world for camera in scene.cameras}

    canonical = build_tracks(pairs, scene.photo_px, {}, KeypointOptions())
    ours, inlier_ratio = mapped(canonical, cameras, tmp_path / "canonical")
    naive, _ = mapped(raw_keypoints(pairs, scene.photo_px), cameras, tmp_path / "naive")

    assert ours.num_reg_images() == naive.num_reg_images() == 8
    assert ours.compute_mean_track_length() > 1.5 * naive.compute_mean_track_length()
    assert ours.compute_mean_reprojection_error() < 0.75 * naive.compute_mean_reprojection_error()
    assert pose_auc(ours, truth) > pose_auc(naive, truth)
    assert inlier_ratio > 0.95


def mapped(
    tracked: TrackKeypoints, cameras: Mapping[str, pycolmap.Camera], folder: Path
) -> tuple[pycolmap.Reconstruction, float]:
    """COLMAP's incremental mapper with the true intrinsics, and the share of matches that it verified."""
    folder.mkdir()
    path, listed = folder / "database.db", folder / "pairs.txt"
    with pycolmap.Database.open(path) as database:
        ids = {}
        for name in sorted(cameras):
            camera = database.write_camera(cameras[name])
            ids[name] = database.write_image(pycolmap.Image(name=name, camera_id=camera))
            database.write_keypoints(ids[name], tracked.keypoints.get(name, np.zeros((0, 2), np.float32)))
        for pair, rows in tracked.matches.items():
            database.write_matches(ids[pair.a], ids[pair.b], rows)
    listed.write_text("".join(f"{pair.a} {pair.b}\n" for pair in tracked.matches), encoding="utf-8")
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 0
    pycolmap.verify_matches(path, listed, verification)
    with pycolmap.Database.open(path) as database:
        inliers = sum(database.read_two_view_geometry_num_inliers()[1])
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.num_threads = 0, 1
    options.ba_refine_focal_length = options.ba_refine_extra_params = options.extract_colors = False
    models = pycolmap.incremental_mapping(path, folder, folder, options=options)
    largest = max(models.values(), key=lambda model: int(model.num_reg_images()))
    return largest, inliers / sum(map(len, tracked.matches.values()))


def pose_auc(model: pycolmap.Reconstruction, truth: Mapping[str, pycolmap.Rigid3d]) -> float:
    """AUC of pose errors up to 1 degree, per cent."""
    poses = {image.name: image.cam_from_world() for image in model.images.values() if image.has_pose}
    return auc(pair_errors(poses, truth, sorted(truth)).pose_deg, 1)
