"""From dense matches through COLMAP to poses: canonical keypoints against naive merging in one run."""

from __future__ import annotations

import pytest

from tests.dense.scenes import Noise, make_scene, neighbour_pairs
from tools.bench.dense_tracks import WAYS, compare


@pytest.mark.slow
def test_canonical_keypoints_give_longer_tracks_and_better_poses() -> None:
    scene = make_scene(8, size=(288, 384), arc_deg=80, photo_px=(2.0, 3.0))
    pairs = scene.all_matches(neighbour_pairs(scene, 4), noise=Noise(0.6, 0.2, 0.2))
    cameras = {camera.name: camera.colmap_camera for camera in scene.cameras}
    truth = {camera.name: camera.cam_from_world for camera in scene.cameras}
    ways = {name: WAYS[name] for name in ("canonical", "naive")}

    figures = compare(pairs, scene.photo_px, cameras, truth, ways=ways)

    ours, naive = figures["canonical"], figures["naive"]
    assert ours.registered == naive.registered == 8
    assert ours.match_track_length > 2 * naive.match_track_length
    assert ours.track_length > 1.5 * naive.track_length  # what COLMAP could not triangulate isn't counted
    assert ours.reprojection_error_px < 0.75 * naive.reprojection_error_px
    assert ours.auc_1 > naive.auc_1
    assert ours.inlier_ratio > 0.95
