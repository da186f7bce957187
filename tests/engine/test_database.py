"""The database follows its collection: what changed is dropped, what didn't is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase, PairRecord
from sfm.colmap.database_sync import StageKeys
from sfm.colmap.second_matcher import SecondMatcher, first_keypoints, pairs_matched_again
from sfm.config.schema import GeoreferenceConfig
from sfm.errors import WorkspaceError
from sfm.ingest.photo_positions import with_positions
from sfm.types import CameraSpec, Collection, Exif, Photo

KEYS = StageKeys("f", "m", "g")
CAMERA = CameraSpec(1, "SIMPLE_RADIAL", 640, 480, (700.0, 320.0, 240.0, 0.0), False)


def photo(name: str, content: str = "x", exif: Exif | None = None, camera_id: int = 1) -> Photo:
    path = Path(name)
    return Photo(name, path, path, content, 640, 480, 1, camera_id, exif or Exif())


def collection(*photos: Photo, cameras: tuple[CameraSpec, ...] = (CAMERA,)) -> Collection:
    return Collection(photos, {camera.camera_id: camera for camera in cameras})


def fill(database: FeatureDatabase) -> None:
    """Four keypoints an image, and a match and a geometry between all of them."""
    ids = database.image_ids()
    db = pycolmap.Database.open(database.path)
    for image_id in ids.values():
        if db.exists_keypoints(image_id):
            continue
        db.write_keypoints(image_id, np.arange(16, dtype=np.float32).reshape(4, 4))
        descriptors = pycolmap.FeatureDescriptors(
            type=pycolmap.FeatureExtractorType.SIFT, data=np.ones((4, 128), np.uint8)
        )
        db.write_descriptors(image_id, descriptors)
    matches = np.stack([np.arange(4), np.arange(4)], 1).astype(np.uint32)
    for a in ids.values():
        for b in ids.values():
            if a < b and not db.exists_matches(a, b):
                db.write_matches(a, b, matches)
            if a < b and not db.exists_two_view_geometry(a, b):
                geometry = pycolmap.TwoViewGeometry()
                geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
                geometry.inlier_matches = matches
                db.write_two_view_geometry(a, b, geometry)
    db.close()


@pytest.fixture
def database(tmp_path: Path) -> FeatureDatabase:
    database = FeatureDatabase(tmp_path / "database.db")
    database.sync(collection(photo("a.jpg"), photo("b.jpg"), photo("c.jpg")), KEYS)
    fill(database)
    return database


def test_colmap_reads_cameras_rigs_frames_and_images(database: FeatureDatabase) -> None:
    cache = pycolmap.DatabaseCache.create(
        pycolmap.Database.open(database.path), pycolmap.DatabaseCacheOptions()
    )

    assert cache.num_images() == 3
    assert cache.num_frames() == 3
    assert cache.num_rigs() == 1
    assert cache.camera(1).params.tolist() == [700.0, 320.0, 240.0, 0.0]


def test_an_unchanged_collection_keeps_everything(database: FeatureDatabase) -> None:
    database.sync(collection(photo("a.jpg"), photo("b.jpg"), photo("c.jpg")), KEYS)

    assert len(database.pairs()) == 3
    assert database.num_keypoints() == {"a.jpg": 4, "b.jpg": 4, "c.jpg": 4}


def test_a_new_photo_touches_nothing_else(database: FeatureDatabase) -> None:
    before = database.image_ids()

    database.sync(collection(photo("a.jpg"), photo("aa.jpg"), photo("b.jpg"), photo("c.jpg")), KEYS)

    assert {name: database.image_ids()[name] for name in before} == before
    assert "aa.jpg" not in database.num_keypoints()
    assert len(database.pairs()) == 3


def test_a_changed_photo_loses_its_features_and_pairs(database: FeatureDatabase) -> None:
    database.sync(collection(photo("a.jpg", "changed"), photo("b.jpg"), photo("c.jpg")), KEYS)

    assert set(database.num_keypoints()) == {"b.jpg", "c.jpg"}
    assert set(database.pairs()) == {Pair("b.jpg", "c.jpg")}


def test_a_removed_photo_is_gone(database: FeatureDatabase) -> None:
    database.sync(collection(photo("b.jpg"), photo("c.jpg")), KEYS)

    assert set(database.image_ids()) == {"b.jpg", "c.jpg"}
    assert set(database.pairs()) == {Pair("b.jpg", "c.jpg")}


def test_new_intrinsics_mean_new_geometries_but_the_same_matches(database: FeatureDatabase) -> None:
    better = replace(CAMERA, params=(650.0, 320.0, 240.0, 0.0), has_prior_focal_length=True)

    database.sync(collection(photo("a.jpg"), photo("b.jpg"), photo("c.jpg"), cameras=(better,)), KEYS)

    db = pycolmap.Database.open(database.path)
    assert db.num_matched_image_pairs() == 3
    assert db.num_verified_image_pairs() == 0


@pytest.mark.parametrize(
    ("keys", "keypoints", "matches", "geometries"),
    [
        (StageKeys("F", "M", "G"), 0, 0, 0),
        (StageKeys("f", "M", "G"), 3, 0, 0),
        (StageKeys("f", "m", "G"), 3, 3, 0),
    ],
)
def test_new_options_drop_what_depends_on_them(
    database: FeatureDatabase, keys: StageKeys, keypoints: int, matches: int, geometries: int
) -> None:
    database.sync(collection(photo("a.jpg"), photo("b.jpg"), photo("c.jpg")), keys)

    db = pycolmap.Database.open(database.path)
    assert len(database.num_keypoints()) == keypoints
    assert db.num_matched_image_pairs() == matches
    assert db.num_verified_image_pairs() == geometries


def test_gps_becomes_a_pose_prior(tmp_path: Path) -> None:
    database = FeatureDatabase(tmp_path / "database.db")
    gps = Exif(latitude_deg=47.5, longitude_deg=8.5, altitude_m=400.0)

    photos = collection(photo("a.jpg", exif=gps), photo("b.jpg"))
    database.sync(with_positions(photos, GeoreferenceConfig()), KEYS)

    (prior,) = pycolmap.Database.open(database.path).read_all_pose_priors()
    assert prior.position.tolist() == [47.5, 8.5, 400.0]
    np.testing.assert_allclose(prior.position_covariance, np.diag([25.0, 25.0, 100.0]))
    assert prior.coordinate_system == pycolmap.PosePriorCoordinateSystem.WGS84


def test_names_with_blanks_are_hidden_from_colmap_and_come_back(tmp_path: Path) -> None:
    database = FeatureDatabase(tmp_path / "database.db")
    photos = collection(photo("my photo.jpg"), photo("b.jpg"))
    database.sync(photos, KEYS)

    with database.plain_names() as plain:
        assert not any(" " in name for name in plain.values())
        assert set(database.image_ids()) == set(plain.values())

    assert set(database.image_ids()) == {"my photo.jpg", "b.jpg"}


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "database.db").write_bytes(b"not a database" * 100)

    with pytest.raises(WorkspaceError, match=r"database\.db is not a usable COLMAP database"):
        FeatureDatabase(tmp_path / "database.db")


def test_looking_at_a_database_sees_real_names_and_changes_nothing(tmp_path: Path) -> None:
    database = FeatureDatabase(tmp_path / "database.db")
    database.sync(collection(photo("my photo.jpg"), photo("b.jpg")), KEYS)
    database.add_matches(
        {"my photo.jpg": np.zeros((3, 2), np.float32), "b.jpg": np.zeros((3, 2), np.float32)},
        {Pair("b.jpg", "my photo.jpg"): np.zeros((3, 2), np.uint32)},
    )

    with database.plain_names():
        before = database.path.read_bytes()
        looking = FeatureDatabase(database.path, read_only=True)
        assert set(looking.image_ids()) == {"my photo.jpg", "b.jpg"}
        assert looking.pairs() == {}
        assert database.path.read_bytes() == before

    with pytest.raises(WorkspaceError, match=r"none\.db is not a usable COLMAP database"):
        FeatureDatabase(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()


def test_a_database_of_colmaps_own_can_be_looked_at(tmp_path: Path) -> None:
    pycolmap.Database.open(tmp_path / "colmap.db").close()
    before = (tmp_path / "colmap.db").read_bytes()

    assert FeatureDatabase(tmp_path / "colmap.db", read_only=True).image_ids() == {}
    assert (tmp_path / "colmap.db").read_bytes() == before


@pytest.mark.parametrize(
    ("config", "count", "verified"),
    [
        ("CALIBRATED", 40, True),
        ("PANORAMIC", 40, True),
        ("WATERMARK", 40, True),
        ("WATERMARK", 0, False),
        ("DEGENERATE", 40, False),
        ("UNDEFINED", 0, False),
    ],
)
def test_a_pair_is_verified_where_registration_uses_it(config: str, count: int, verified: bool) -> None:
    """COLMAP's mappers use pairs that may be a watermark's, too, and so does the view graph."""
    assert PairRecord(90, count, config).verified is verified


def second_keypoints(*names: str) -> dict[str, np.ndarray]:
    return {name: np.full((3, 2), 50.5, np.float32) for name in names}


def test_a_second_matcher_appends_keypoints_and_keeps_the_inliers_of_the_first(
    database: FeatureDatabase,
) -> None:
    matcher, pair = SecondMatcher(database, "key"), Pair("a.jpg", "b.jpg")
    found = np.array([[0, 2], [1, 1]], np.uint32)

    matcher.write(second_keypoints(*pair), {pair: found})
    matcher.write(second_keypoints(*pair), {pair: found[:1]})

    assert matcher.pairs() == {pair} == pairs_matched_again(database)
    assert SecondMatcher(database, "other").pairs() == frozenset()
    assert set(first_keypoints(database.path).values()) == {4}
    assert matcher.alone([pair]) == {pair}
    assert database.matches()[pair].tolist() == [[4, 6]]  # its geometry was gone, so had no inliers
    assert pair not in database.pairs()
    assert len(database.keypoint_positions()["a.jpg"]) == 7
    assert database.num_keypoints() == {"a.jpg": 4, "b.jpg": 4, "c.jpg": 4}
    keypoints, descriptors = database.features("a.jpg")
    assert len(keypoints) == len(descriptors) == 4


def test_matches_of_a_second_matcher_come_beside_inliers(database: FeatureDatabase) -> None:
    pair = Pair("a.jpg", "b.jpg")

    SecondMatcher(database, "key").write(second_keypoints(*pair), {pair: np.array([[2, 0]], np.uint32)})

    assert database.matches()[pair].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3], [6, 4]]
    assert SecondMatcher(database, "key").alone([pair]) == set()


def test_a_changed_photo_loses_its_pairs_by_a_second_matcher(database: FeatureDatabase) -> None:
    pair = Pair("a.jpg", "b.jpg")
    matcher = SecondMatcher(database, "key")
    matcher.write(second_keypoints(*pair), {pair: np.array([[0, 0]], np.uint32)})

    database.sync(collection(photo("a.jpg", "changed"), photo("b.jpg"), photo("c.jpg")), KEYS)

    assert matcher.pairs() == frozenset()
