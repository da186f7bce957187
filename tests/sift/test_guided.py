"""Guided matching on the rendered scene: more is found than without, and wrong poses are left alone."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

import sfm
from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase, PairRecord
from sfm.config.schema import Config, ExportConfig, MatchingConfig, RunConfig, SiftConfig, VerifyConfig
from sfm.loop.epipolar_guides import guides_of
from sfm.matching import Guide, MatchReport
from sfm.matching.sift.guided import Features, GuidedMatches, guided_matches
from sfm.matching.sift.matching import match_pairs
from sfm.matching.verification import verification_options
from sfm.workspace.events import EventLog, read_events
from sfm.workspace.progress import SilentProgress
from tests.conftest import MakeOnce

WIDE = Pair("photo_01.jpg", "photo_05.jpg")
MIN_MATCHES = 20


@dataclass(frozen=True)
class Matched:
    """Some photos of the scene, described, with a model of them."""

    database: FeatureDatabase
    model: pycolmap.Reconstruction

    def guide(self, pair: Pair, reason: Reason = Reason.LOOP) -> Guide:
        return guides_of([self.model], {pair: Edge(0.5, reason)})[pair]

    def search(self, pair: Pair, guide: Guide) -> GuidedMatches:
        views = (pair.a, guide.a), (pair.b, guide.b)
        features = [self.database.features(name) for name, _ in views]
        sides = [
            Features.of(xy[:, :2], descriptors, view)
            for (xy, descriptors), (_, view) in zip(features, views, strict=True)
        ]
        return guided_matches(*sides, guide)

    def match(
        self, pair: Pair, guides: Mapping[Pair, Guide], folder: Path
    ) -> tuple[MatchReport, PairRecord, dict[str, object]]:
        """Match one pair in a copy of the database without pairs; its report, record and event."""
        folder.mkdir()
        path = folder / "database.db"
        shutil.copyfile(self.database.path, path)
        with pycolmap.Database.open(path) as colmap:
            colmap.clear_matches()
            colmap.clear_two_view_geometries()
        database = FeatureDatabase(path)
        report = match_pairs(
            {pair: Edge(0.5, Reason.LOOP)},
            database,
            guides=guides,
            scratch_dir=folder,
            config=MatchingConfig(),
            geometry=verification_options(VerifyConfig(), 0),
            threads=1,
            events=EventLog(folder / "events.jsonl"),
            progress=SilentProgress(),
        )
        (event,) = list(read_events(folder / "events.jsonl"))
        return report, database.pairs()[pair], event


@pytest.fixture(scope="module")
def matched(demo_data: Path, make_once: MakeOnce) -> Matched:
    def run(folder: Path) -> None:
        photos = folder / "photos"
        photos.mkdir()
        for path in sorted((demo_data / "images").iterdir())[:6]:
            shutil.copy(path, photos)
        sift, export = SiftConfig(max_num_features=3000), ExportConfig(report=False)
        sfm.run(
            photos, output=folder / "out", config=Config(run=RunConfig(threads=2), sift=sift, export=export)
        )

    out = make_once("guided", run) / "out"
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    assert model.num_reg_images() == 6
    return Matched(FeatureDatabase(out / "database.db", read_only=True), model)


def turned(guide: Guide, degrees: float) -> Guide:
    """The second camera turned about an axis aslant to everything."""
    turn = pycolmap.Rotation3d(np.deg2rad(degrees) * np.array([0.6, 0.48, 0.64]))
    return replace(guide, b_from_a=pycolmap.Rigid3d(turn, np.zeros(3)) * guide.b_from_a)


def epipolar_errors(
    demo_data: Path, database: FeatureDatabase, pair: Pair, matches: np.ndarray
) -> np.ndarray:
    """Distances (px) of keypoints from the lines that the true poses give."""
    truth = json.loads((demo_data / "gt.json").read_text(encoding="utf-8"))
    poses, rays = [], []
    for name, rows in zip((pair.a, pair.b), matches.T, strict=True):
        camera = truth["cameras"][name]
        lens = pycolmap.Camera(**{**camera, "camera_id": 1})
        flat = lens.cam_from_img(database.features(name)[0][rows, :2].astype(np.float64))
        rays.append(np.column_stack((flat, np.ones(len(flat)))))
        image = truth["images"][name]
        poses.append(np.column_stack((image["R_cw"], image["t_cw"])))
    a, b = (pycolmap.Rigid3d(pose) for pose in poses)
    lines = rays[0] @ pycolmap.essential_matrix_from_pose(b * a.inverse()).T
    return np.abs(np.sum(lines * rays[1], axis=1)) / np.hypot(lines[:, 0], lines[:, 1]) * camera["params"][0]


def test_more_is_found_than_by_a_blind_match_and_it_is_right(
    matched: Matched, demo_data: Path, tmp_path: Path
) -> None:
    guide = matched.guide(WIDE)

    _, blind, _ = matched.match(WIDE, {}, tmp_path / "blind")
    report, guided, event = matched.match(WIDE, {WIDE: guide}, tmp_path / "guided")
    found = matched.search(WIDE, guide)

    assert blind.verified
    assert guided.num_inliers > 1.2 * blind.num_inliers
    assert report.inliers == {WIDE: guided.num_inliers}
    assert event["guided"] is True
    assert np.mean(epipolar_errors(demo_data, matched.database, WIDE, found.matches) < 3.0) > 0.95


@pytest.mark.parametrize("degrees", [3.0, -3.0, 20.0, 180.0])
def test_a_wrong_pose_is_left_to_a_blind_match(matched: Matched, degrees: float, tmp_path: Path) -> None:
    wrong = turned(matched.guide(WIDE), degrees)

    _, blind, plain = matched.match(WIDE, {}, tmp_path / "blind")
    _, guided, event = matched.match(WIDE, {WIDE: wrong}, tmp_path / "guided")

    assert not matched.search(WIDE, wrong).significant(MIN_MATCHES)
    assert guided == blind
    assert {k: v for k, v in event.items() if k != "t"} == {k: v for k, v in plain.items() if k != "t"}


def test_the_pose_of_other_photos_is_refused(matched: Matched) -> None:
    other = matched.guide(Pair("photo_00.jpg", "photo_04.jpg"))

    assert not matched.search(WIDE, other).significant(MIN_MATCHES)


def test_without_a_baseline_or_keypoints_nothing_is_found(matched: Matched) -> None:
    guide = matched.guide(WIDE)
    still = replace(guide, b_from_a=pycolmap.Rigid3d(guide.b_from_a.rotation, np.zeros(3)))
    empty = Features.of(np.empty((0, 2)), np.empty((0, 128), np.uint8), guide.a)

    assert len(matched.search(WIDE, still).matches) == 0
    assert len(guided_matches(empty, empty, guide).matches) == 0


def test_only_requests_that_trust_the_model_are_guided(matched: Matched) -> None:
    edges = {WIDE: Edge(0.5, Reason.VERIFY), Pair("photo_00.jpg", "nobody.jpg"): Edge(0.5, Reason.LOOP)}

    assert guides_of([matched.model], edges) == {}
    assert guides_of([], {WIDE: Edge(0.5, Reason.LOOP)}) == {}
    assert guides_of([matched.model], {WIDE: Edge(0.5, Reason.LOW_OVERLAP)}).keys() == {WIDE}
