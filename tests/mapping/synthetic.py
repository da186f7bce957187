"""Synthetic COLMAP databases for the tests of the registrar."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap


@dataclass(frozen=True)
class Scene:
    database: Path
    truth: pycolmap.Reconstruction


def synthesize(
    path: Path,
    *,
    num_images: int = 8,
    num_points: int = 300,
    seed: int = 1,
    camera: tuple[float, ...] = (1280.0, 512.0, 384.0, 0.05),
    model: str = "SIMPLE_RADIAL",
) -> Scene:
    """A ring of photos by one camera round a cloud of points, half a pixel of noise, all pairs verified."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, num_images
    options.num_points3D, options.camera_params = num_points, list(camera)
    options.camera_model_id = getattr(pycolmap.CameraModelId, model)
    options.camera_has_prior_focal_length = model != "SIMPLE_RADIAL"
    with pycolmap.Database.open(path) as db:
        truth = pycolmap.synthesize_dataset(options, db)
        noise = pycolmap.SyntheticNoiseOptions()
        noise.point2D_stddev = 0.5
        pycolmap.synthesize_noise(noise, truth, db)
    return Scene(path, truth)


def keep_pairs(source: Path, path: Path, pairs: set[tuple[int, int]]) -> Path:
    """A copy of `source` that has the two-view geometries of `pairs` only (image ids, ascending)."""
    with pycolmap.Database.open(source) as old, pycolmap.Database.open(path) as new:
        _copy_images(old, new)
        for pair_id, geometry in zip(*old.read_two_view_geometries(), strict=True):
            if (ids := pycolmap.pair_id_to_image_pair(pair_id)) in pairs:
                new.write_two_view_geometry(*ids, geometry)
    return path


def add_pairs(
    source: Path, path: Path, pairs: set[tuple[int, int]], *, raw: bool = False, wrong: int = 0
) -> None:
    """Write the two-view geometries of `pairs`, and `raw` matches, from `source` into the database at `path`.

    With `wrong` there are at most so many matches of each pair, all of them wrong.
    """
    with pycolmap.Database.open(source) as old, pycolmap.Database.open(path) as new:
        for ids in sorted(pairs):
            geometry = old.read_two_view_geometry(*ids)
            if wrong:
                geometry.inlier_matches = shuffled(geometry.inlier_matches[:wrong])
            new.write_two_view_geometry(*ids, geometry)
            if raw:
                new.write_matches(*ids, old.read_matches(*ids))


def merge(first: Path, second: Path, path: Path) -> Path:
    """One database with the photos of both, names prefixed with a/ and b/, no pair across."""
    with (
        pycolmap.Database.open(first) as a,
        pycolmap.Database.open(second) as b,
        pycolmap.Database.open(path) as both,
    ):
        for prefix, db in (("a/", a), ("b/", b)):
            for image in db.read_all_images():
                image.name = prefix + image.name
                db.update_image(image)
        pycolmap.Database.merge(a, b, both)
    return path


def all_pairs(num_images: int) -> set[tuple[int, int]]:
    return {(i, j) for i in range(1, num_images + 1) for j in range(i + 1, num_images + 1)}


def max_rotation_error_deg(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction) -> float:
    """Largest error of a relative rotation to the first registered photo; frames need not agree."""
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    true = {image.name: image for image in truth.images.values()}
    first = images[0]

    def relative(image: pycolmap.Image, base: pycolmap.Image) -> np.ndarray:
        matrix: np.ndarray = (image.cam_from_world() * base.cam_from_world().inverse()).rotation.matrix()
        return matrix

    def angle(image: pycolmap.Image) -> float:
        delta = relative(image, first) @ relative(true[image.name], true[first.name]).T
        return float(np.rad2deg(np.arccos(np.clip((np.trace(delta) - 1) / 2, -1, 1))))

    return max(angle(image) for image in images)


def _copy_images(old: pycolmap.Database, new: pycolmap.Database) -> None:
    for camera in old.read_all_cameras():
        new.write_camera(camera, use_camera_id=True)
    for rig in old.read_all_rigs():
        new.write_rig(rig, use_rig_id=True)
    for frame in old.read_all_frames():
        new.write_frame(frame, use_frame_id=True)
    for image in old.read_all_images():
        new.write_image(image, use_image_id=True)
        new.write_keypoints(image.image_id, old.read_keypoints(image.image_id))


def shuffled(matches: np.ndarray) -> np.ndarray:
    """The matches of a pair with the second image's keypoints permuted."""
    return np.column_stack((matches[:, 0], np.random.default_rng(0).permutation(matches[:, 1])))
