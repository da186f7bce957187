"""Dense matches on their way to models: refinement, and the better poses of canonical keypoints."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

from sfm.evaluation.metrics import auc, pair_errors
from sfm.matching.dense.inference.refinement import refine_by_descriptors
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


SHIFTS = [(0.3, -0.2), (0.45, 0.4), (-0.1, 0.25), (0.0, 0.0)]


def view(shift: tuple[float, float], *, noise: float = 0.0, smooth: float = 2.5) -> Tensor:
    """Descriptors (50, 60, 24) of a smooth random surface, shown `shift` pixels to the upper left."""
    rng = np.random.default_rng(0)
    surface = gaussian_filter(rng.standard_normal((70, 80, 24)), (smooth, smooth, 0))
    y, x = np.mgrid[10:60, 10:70].astype(float)
    shown = np.stack(
        [
            map_coordinates(channel, [y + shift[1], x + shift[0]], order=5)
            for channel in np.moveaxis(surface, 2, 0)
        ],
        axis=-1,
    )
    shown += noise * shown.std() * np.random.default_rng(hash(shift) % 2**32).standard_normal(shown.shape)
    return torch.nn.functional.normalize(torch.tensor(shown, dtype=torch.float32), dim=-1)


def places(count: int = 400) -> Tensor:
    rng = np.random.default_rng(1)
    return torch.tensor(np.column_stack((rng.integers(3, 57, count), rng.integers(3, 47, count)))).float()


@pytest.mark.parametrize("shift", SHIFTS)
def test_shifts_of_a_fraction_of_a_pixel_are_found(shift: tuple[float, float]) -> None:
    xy = places()
    truth = xy - torch.tensor(shift)

    refined = refine_by_descriptors(view((0, 0)), view(shift), xy, truth.round())

    error = (refined - truth).norm(dim=1)
    assert error.median() < 0.02
    assert error.max() < 0.15


def test_noisy_descriptors_still_gain() -> None:
    shift = SHIFTS[1]
    xy = places()
    truth = xy - torch.tensor(shift)

    refined = refine_by_descriptors(view((0, 0)), view(shift, noise=0.15), xy, truth.round())

    assert (refined - truth).norm(dim=1).median() < 0.4 * (truth.round() - truth).norm(dim=1).median()


def test_positions_between_pixels_of_the_first_photo_are_sampled() -> None:
    xy = places() + torch.tensor([0.5, 0.25])

    refined = refine_by_descriptors(view((0, 0)), view((0, 0)), xy, xy.round())

    assert (refined - xy).norm(dim=1).median() < 0.06


def test_matches_at_the_rim_and_doubtful_ones_stay() -> None:
    desc = view((0, 0))
    xy_a = torch.tensor([[0.0, 5.0], [59.0, 49.0], [20.0, 20.0], [30.0, 30.0]])
    xy_b = torch.tensor([[0.0, 5.0], [59.0, 49.0], [45.0, 9.0], [float("nan"), 3.0]])

    refined = refine_by_descriptors(desc, desc, xy_a, xy_b)

    assert torch.equal(refined[:2], xy_b[:2])
    assert (refined[2] - xy_b[2]).abs().max() <= 0.75
    assert refined[3].isnan().any()


def test_flat_descriptors_leave_matches_alone() -> None:
    flat = torch.nn.functional.normalize(torch.ones(20, 20, 24), dim=-1)
    xy = torch.tensor([[5.0, 5.0], [9.0, 12.0]])

    assert torch.equal(refine_by_descriptors(flat, flat, xy, xy + 1), xy + 1)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3)])
def test_tiny_maps(size: tuple[int, int]) -> None:
    desc = torch.nn.functional.normalize(
        torch.randn(*size, 24, generator=torch.Generator().manual_seed(0)), dim=-1
    )

    assert refine_by_descriptors(desc, desc, torch.zeros(2, 2), torch.zeros(2, 2)).isfinite().all()
    assert refine_by_descriptors(desc, desc, torch.zeros(0, 2), torch.zeros(0, 2)).shape == (0, 2)


def test_shapes_that_do_not_fit_are_refused() -> None:
    desc = view((0, 0))

    with pytest.raises(ValueError, match="don't fit each other"):
        refine_by_descriptors(desc, desc[..., :8], places(3), places(3))
    with pytest.raises(ValueError, match="don't fit each other"):
        refine_by_descriptors(desc, desc, places(3), places(4))
