"""SIFT by OpenCV: COLMAP's keypoints, in its pixels and its database."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from scipy.spatial import cKDTree

from sfm.colmap.database import FeatureDatabase
from sfm.config.colmap import ColmapValues
from sfm.config.schema import SiftConfig
from sfm.matching.backend import DescribeReport
from sfm.matching.sift import opencv_extraction
from sfm.matching.sift.cells import probed
from sfm.matching.sift.descriptors import descriptor_matches
from sfm.matching.sift.features import describe
from sfm.matching.sift.opencv_extraction import sift_features
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress
from tests.engine.test_database import KEYS, collection, photo

CONFIG = SiftConfig(max_num_features=2000)


@pytest.fixture(scope="module")
def grey(demo_data: Path) -> np.ndarray:
    read = cv2.imread(str(demo_data / "images" / "photo_00.jpg"), cv2.IMREAD_GRAYSCALE)
    assert read is not None
    return np.asarray(read, np.uint8)


def described(
    folder: Path, config: SiftConfig, names: tuple[str, ...], demo_data: Path
) -> tuple[FeatureDatabase, DescribeReport]:
    """A database with the features of some photos of the scene; others are no photos."""
    (folder / "images").mkdir()
    for name in names:
        source = demo_data / "images" / name
        (folder / "images" / name).write_bytes(source.read_bytes() if source.exists() else b"no photo")
    photos = collection(*(photo(name) for name in names))
    database = FeatureDatabase(folder / "database.db")
    database.sync(photos, KEYS)
    report = describe(
        photos,
        database,
        images_dir=folder / "images",
        masks_dir=None,
        config=config,
        threads=2,
        events=NullEvents(),
        progress=SilentProgress(),
    )
    return database, report


def test_keypoints_are_colmaps(grey: np.ndarray, demo_data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, colmap=ColmapValues.of({"sift_extraction.peak_threshold": 0.02 / 3}))
    theirs = described(tmp_path, config, ("photo_00.jpg",), demo_data)[0].features("photo_00.jpg")[0]
    scales = np.sqrt(np.abs(theirs[:, 2] * theirs[:, 5] - theirs[:, 3] * theirs[:, 4]))
    ours, _ = sift_features(grey, CONFIG, None)

    distance, nearest = cKDTree(ours[:, :2]).query(theirs[:, :2])
    same = (distance < 1) & (np.abs(np.log(ours[nearest, 2] / scales)) < 0.2)
    turn = np.arctan2(theirs[:, 4], theirs[:, 2]) - ours[nearest, 3]

    assert same.mean() > 0.75
    assert np.abs(np.median((ours[nearest, :2] - theirs[:, :2])[same], axis=0)).max() < 0.02
    assert np.median(ours[nearest, 2][same] / scales[same]) == pytest.approx(1, abs=0.01)
    assert np.median(np.abs(np.angle(np.exp(1j * turn[same])))) < 0.1


def test_the_largest_are_kept(grey: np.ndarray) -> None:
    every, _ = sift_features(grey, CONFIG, None)
    some, descriptors = sift_features(grey, replace(CONFIG, max_num_features=300), None)

    places = np.unique(some[:, :3], axis=0)
    assert len(places) == 300
    assert some[:, 2].min() >= np.sort(np.unique(every[:, :3], axis=0)[:, 2])[-300]
    assert descriptors.shape == (len(some), 128)
    assert np.linalg.norm(descriptors.astype(float), axis=1) == pytest.approx(512, abs=8)


def test_photos_of_little_contrast_have_their_strongest_keypoints(grey: np.ndarray) -> None:
    foggy = np.clip(np.rint(150 + 0.06 * (grey.astype(float) - 128)), 0, 255).astype(np.uint8)

    clear, _ = sift_features(grey, CONFIG, None)
    faint, _ = sift_features(foggy, CONFIG, None)

    assert len(faint) == CONFIG.max_num_features / 4
    distance, nearest = cKDTree(clear[:, :2]).query(faint[:, :2])
    large = faint[:, 2] > 3  # smaller ones are rounding to whole grey values
    same = (distance < 2) & (np.abs(np.log(clear[nearest, 2] / faint[:, 2])) < 0.3)
    assert same[large].mean() > 0.5


def test_upright_keypoints_have_one_orientation(grey: np.ndarray) -> None:
    keypoints, _ = sift_features(grey, replace(CONFIG, upright=True), None)

    assert len(np.unique(keypoints[:, :3], axis=0)) == len(keypoints) > 300
    assert (keypoints[:, 3] == 0).all()


def test_reduced_photos_have_keypoints_in_full_pixels(grey: np.ndarray) -> None:
    whole, _ = sift_features(grey, CONFIG, None)
    reduced, _ = sift_features(grey, replace(CONFIG, max_image_size=grey.shape[1] // 2), None)

    large = reduced[reduced[:, 2] > 4]
    distance, nearest = cKDTree(whole[:, :2]).query(large[:, :2])
    same = distance < 2
    assert same.mean() > 0.5
    assert np.abs(np.median((whole[nearest, :2] - large[:, :2])[same], axis=0)).max() < 0.2
    assert np.median(whole[nearest, 2][same] / large[same, 2]) == pytest.approx(1, abs=0.1)


def test_nothing_is_found_outside_a_mask(grey: np.ndarray) -> None:
    mask = np.zeros(grey.shape, bool)
    mask[:, 300:] = True

    keypoints, _ = sift_features(grey, CONFIG, mask)

    assert len(keypoints) > 100
    assert keypoints[:, 0].min() >= 300


def test_domains_of_several_sizes_agree_with_more_true_matches(
    demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSP-SIFT: of photos beside each other, with the same keypoints."""
    names = [f"photo_{i:02}.jpg" for i in range(9)]
    photos = [cv2.imread(str(demo_data / "images" / name), cv2.IMREAD_GRAYSCALE) for name in names]

    def inliers() -> int:
        found = [sift_features(np.asarray(photo, np.uint8), CONFIG, None) for photo in photos]
        return sum(num_inliers(*found[i], *found[i + 1]) for i in range(len(found) - 1))

    pooled = inliers()
    monkeypatch.setattr(opencv_extraction, "_DOMAINS", (0,))

    assert pooled > 1.02 * inliers()


def num_inliers(xy_a: np.ndarray, a: np.ndarray, xy_b: np.ndarray, b: np.ndarray) -> int:
    """Of a fundamental matrix, among the mutually nearest descriptors that pass COLMAP's tests."""
    matches = descriptor_matches(probed(a), probed(b), pycolmap.SiftMatchingOptions())
    options = pycolmap.RANSACOptions()
    options.max_error, options.random_seed = 2.0, 0
    points = (xy[matches[:, i], :2].astype(np.float64) for i, xy in enumerate((xy_a, xy_b)))
    found = pycolmap.estimate_fundamental_matrix(*points, options)
    return int(found["num_inliers"]) if found else 0


@pytest.mark.parametrize("size", [(6, 7), (17, 9), (40, 300)])
def test_small_photos_are_described_at_all_sizes(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)

    keypoints, descriptors = sift_features(noise, CONFIG, None)

    assert len(keypoints) == len(descriptors)


@pytest.mark.parametrize("shape", [(80, 120), (1, 1), (2, 3000)])
def test_a_photo_without_texture_or_without_size_has_none(shape: tuple[int, int]) -> None:
    keypoints, descriptors = sift_features(np.full(shape, 90, np.uint8), CONFIG, None)

    assert keypoints.shape == (0, 4)
    assert descriptors.shape == (0, 128)


@pytest.mark.parametrize(("values", "columns"), [({}, 4), ({"sift_extraction.peak_threshold": 0.005}, 6)])
def test_colmap_extracts_where_its_options_are_set(
    demo_data: Path, tmp_path: Path, values: dict[str, float], columns: int
) -> None:
    config = replace(CONFIG, colmap=ColmapValues.of(values))

    database, report = described(tmp_path, config, ("photo_00.jpg", "photo_01.jpg", "broken.jpg"), demo_data)

    assert report.described == 2
    assert list(report.failed) == ["broken.jpg"]
    keypoints, descriptors = database.features("photo_00.jpg")
    assert keypoints.shape == (len(descriptors), columns)
