"""Pairs that SIFT could not match are matched again, in the same database."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.config.loading import load_config
from sfm.matching.aliked.again import AlikedAgain
from sfm.matching.aliked.networks import Described
from sfm.matching.backend import BackendContext
from sfm.types import CameraSpec, Collection, Exif, Photo
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace

PAIR = Pair("a.png", "b.png")
EDGES = {PAIR: Edge(0.5, Reason.UNREGISTERED, 1)}
SIZE = (640, 480)
NUM = 120


class Seeing:
    """In place of the networks: sees the same points in both photos."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        points = rng.uniform((-2, -1.5, 4), (2, 1.5, 8), (NUM, 3))
        self.views = [points, points + np.array([0.8, 0.1, 0.2])]
        self.num_described = self.num_matched = 0

    def describe(self, image: NDArray[np.uint8]) -> Described:
        self.num_described += 1
        points = self.views[int(image[0, 0, 0] > 0)]
        xy = 500 * points[:, :2] / points[:, 2:] + (320, 240)
        return Described(xy.astype(np.float32), np.eye(NUM, 128, dtype=np.float32), SIZE)

    def match(self, a: Described, b: Described) -> NDArray[np.uint32]:
        self.num_matched += 1
        return np.column_stack((np.arange(NUM), np.arange(NUM))).astype(np.uint32)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    photos = []
    for value, name in enumerate(PAIR):
        path = tmp_path / name
        Image.new("RGB", SIZE, (200 * value,) * 3).save(path)
        photos.append(Photo(name, path, path, name, *SIZE, 1, 1, Exif()))
    camera = CameraSpec(1, "SIMPLE_PINHOLE", *SIZE, (500.0, 320.0, 240.0), True)
    return Collection(tuple(photos), {1: camera})


@pytest.fixture
def database(tmp_path: Path, collection: Collection) -> FeatureDatabase:
    """As SIFT leaves it: a few keypoints, and a pair that does not verify."""
    (tmp_path / "out" / "cache").mkdir(parents=True)
    database = FeatureDatabase(tmp_path / "out" / "database.db")
    database.sync(collection, StageKeys("f", "m", "g"))
    for name in PAIR:
        keypoints = np.tile(np.float32([5, 5, 1, 0, 0, 1]), (4, 1))
        database.put_features(name, keypoints, np.ones((4, 128), np.uint8))
    return database


def again(tmp_path: Path, networks: Seeing) -> AlikedAgain:
    config = load_config(overrides=["run.threads=1"])
    matcher = AlikedAgain(
        BackendContext(Workspace(tmp_path / "out", source=tmp_path), config, 1, SilentProgress())
    )
    matcher.networks = networks  # type: ignore[assignment]
    return matcher


def test_a_pair_is_matched_once_and_its_photos_are_described_once(
    tmp_path: Path, collection: Collection, database: FeatureDatabase
) -> None:
    networks = Seeing()

    report = again(tmp_path, networks).match(EDGES, collection, database)
    second = again(tmp_path, networks).match(EDGES, collection, database)

    assert report.inliers[PAIR] >= 0.9 * NUM
    assert second.inliers == report.inliers
    assert (networks.num_described, networks.num_matched) == (2, 1)
    assert (report.matched, report.cached, second.matched, second.cached) == (1, 0, 0, 1)
    assert again(tmp_path, networks).candidates(database) == {}
    matches = database.inlier_matches()[PAIR]
    assert matches.min() >= 4  # beyond SIFT's keypoints
    log = tmp_path / "out" / "cache" / "events.jsonl"
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {event["matcher"] for event in told if event["event"] == "pair"} == {"aliked"}


def test_a_kill_before_verification_costs_no_match(
    tmp_path: Path, collection: Collection, database: FeatureDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Seeing()
    with monkeypatch.context() as patch:
        patch.setattr("sfm.matching.aliked.again.verify_pairs", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            again(tmp_path, networks).match(EDGES, collection, database)

    report = again(tmp_path, networks).match(EDGES, collection, database)

    assert report.inliers[PAIR] >= 0.9 * NUM
    assert networks.num_matched == 1


def test_damaged_files_of_features_are_made_again(
    tmp_path: Path, collection: Collection, database: FeatureDatabase
) -> None:
    networks = Seeing()
    again(tmp_path, networks).match(EDGES, collection, database)
    for path in (tmp_path / "out" / "cache" / "aliked").iterdir():
        path.write_bytes(b"damaged")

    again(tmp_path, networks)._described(collection.photos[0])

    assert networks.num_described == 3


def test_a_photo_that_is_gone_is_named(
    tmp_path: Path, collection: Collection, database: FeatureDatabase
) -> None:
    collection.photos[0].path.unlink()

    report = again(tmp_path, Seeing()).match(EDGES, collection, database)

    assert report.failed.keys() == {PAIR}
    assert "a.png" in report.failed[PAIR]
