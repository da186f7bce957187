"""SIFT still matches photos to which another matcher has appended keypoints."""

from pathlib import Path

import numpy as np
import pytest

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.second_matcher import SecondMatcher
from sfm.config.loading import load_config
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.ingest import ingest
from sfm.matching.backend import BackendContext
from sfm.matching.sift import SiftBackend
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace

NAMES = ("photo_00.jpg", "photo_01.jpg", "photo_02.jpg")


def test_photos_with_appended_keypoints_are_matched_by_sift(tmp_path: Path, demo_data: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in NAMES:
        (photos / name).write_bytes((demo_data / "images" / name).read_bytes())
    config = load_config(overrides=["run.threads=1", "sift.max_num_features=800"])
    first, second = Pair(*NAMES[:2]), Pair(*NAMES[1:])
    with Workspace(tmp_path / "out", source=photos) as workspace:
        collection = ingest(
            photos,
            images_dir=workspace.images,
            cache_dir=workspace.cache,
            config=config.images,
            threads=1,
            events=NullEvents(),
            progress=SilentProgress(),
        )
        backend = SiftBackend(BackendContext(workspace, config, 1, SilentProgress()))
        database = FeatureDatabase(workspace.database)
        database.sync(collection, backend.keys())
        backend.describe(collection, database)
        before = database.num_keypoints()
        appended = {name: np.full((5, 2), 9.5, np.float32) for name in first}
        SecondMatcher(database, "key").write(appended, {first: np.zeros((0, 2), np.uint32)})

        again = backend.describe(collection, database)
        found = backend.match({second: Edge(0.5, Reason.LOOP)}, collection, database)

        assert (again.described, again.cached) == (0, len(NAMES))
        assert database.num_keypoints() == before
        assert found.inliers[second] > 30
        assert database.inlier_matches()[second].max() < max(before.values())
        report = read_inconsistent_pairs(workspace.database)
    assert report.probability[second] == pytest.approx(1, abs=0.5)
