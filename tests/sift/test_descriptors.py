"""Descriptors of two photos, matched: against all comparisons, with COLMAP's options, and in its database."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

import sfm
from kernels.values import Probed
from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase
from sfm.config.colmap import ColmapValues
from sfm.config.schema import Config, ExportConfig, MatchingConfig, RunConfig, SiftConfig, VerifyConfig
from sfm.ingest import ingest
from sfm.matching.backend import BackendContext
from sfm.matching.sift import SiftBackend, descriptors
from sfm.matching.sift.cells import probed
from sfm.matching.sift.descriptors import ProbedPhotos, descriptor_matches, finds_itself
from sfm.matching.sift.matching import match_pairs
from sfm.matching.verification import verification_options
from sfm.workspace.events import EventLog, NullEvents
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace
from tests.conftest import MakeOnce

NEAR, WIDE = Pair("photo_00.jpg", "photo_01.jpg"), Pair("photo_00.jpg", "photo_04.jpg")


@pytest.fixture(scope="module")
def described(demo_data: Path, make_once: MakeOnce) -> FeatureDatabase:
    """Photos of the rendered scene in a database with features alone."""

    def run(folder: Path) -> None:
        photos = folder / "photos"
        photos.mkdir()
        for path in sorted((demo_data / "images").iterdir())[:5]:
            shutil.copy(path, photos)
        sift, export = SiftConfig(max_num_features=3000), ExportConfig(report=False)
        config = Config(run=RunConfig(threads=2), sift=sift, export=export)
        sfm.run(photos, output=folder / "out", config=config)
        with pycolmap.Database.open(folder / "out" / "database.db") as database:
            database.clear_matches()
            database.clear_two_view_geometries()

    return FeatureDatabase(make_once("described", run) / "out" / "database.db", read_only=True)


def copied(database: FeatureDatabase, folder: Path) -> FeatureDatabase:
    folder.mkdir()
    shutil.copyfile(database.path, folder / "database.db")
    return FeatureDatabase(folder / "database.db")


def match(database: FeatureDatabase, *pairs: Pair, photos: ProbedPhotos | None = None, **sift: bool) -> None:
    match_pairs(
        {pair: Edge(0.5, Reason.LOOP) for pair in pairs},
        database,
        scratch_dir=database.path.parent,
        config=MatchingConfig(ColmapValues.of({f"sift_matching.{name}": on for name, on in sift.items()})),
        geometry=verification_options(VerifyConfig(), 0),
        threads=2,
        events=EventLog(database.path.parent / "events.jsonl"),
        progress=SilentProgress(),
        photos=photos,
    )


def by_all_comparisons(database: FeatureDatabase, pair: Pair) -> set[tuple[int, int]]:
    """Mutual nearest neighbours with the ratio test, by COLMAP's default limits."""
    a, b = (database.features(name)[1].astype(np.float64) for name in pair)
    distances = np.sqrt(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0))

    def partners(rows: np.ndarray) -> np.ndarray:
        two = np.sort(rows, axis=1)[:, :2]
        return np.where((two[:, 0] <= 0.7 * 512) & (two[:, 0] < 0.8 * two[:, 1]), rows.argmin(1), -1)

    of_a, of_b = partners(distances), partners(distances.T)
    return {(i, int(j)) for i, j in enumerate(of_a) if j >= 0 and of_b[j] == i}


@pytest.mark.parametrize("pair", [NEAR, WIDE])
def test_nearly_all_matches_are_found(described: FeatureDatabase, pair: Pair) -> None:
    photos = [probed(described.features(name)[1]) for name in pair]

    found = set(map(tuple, descriptor_matches(*photos, pycolmap.SiftMatchingOptions()).tolist()))

    expected = by_all_comparisons(described, pair)
    assert len(expected) > 30
    assert len(found & expected) >= 0.98 * len(expected)
    assert len(found) <= 1.02 * len(expected)


def test_options_of_colmap_hold(described: FeatureDatabase) -> None:
    photos = [probed(described.features(name)[1]) for name in NEAR]

    def found(**changed: object) -> set[tuple[int, ...]]:
        options = pycolmap.SiftMatchingOptions()
        for name, value in changed.items():
            setattr(options, name, value)
        return set(map(tuple, descriptor_matches(*photos, options).tolist()))

    usual = found()
    assert found(max_ratio=0.6) < usual
    assert found(max_distance=0.2) < usual
    assert usual < found(cross_check=False)


def test_what_shares_no_cell_is_not_compared() -> None:
    same = np.full((1, 128), 45, np.uint8)
    here, there = (Probed(same, np.array([[cell]], np.uint8)) for cell in (0, 1))

    assert descriptor_matches(here, here, pycolmap.SiftMatchingOptions()).tolist() == [[0, 0]]
    assert descriptor_matches(here, there, pycolmap.SiftMatchingOptions()).tolist() == []


def test_cells_are_those_of_the_nearest_centres() -> None:
    random = np.random.default_rng(2)
    centres = random.integers(0, 4, (256, 128), dtype=np.uint8)
    rows = random.integers(0, 4, (50, 128), dtype=np.uint8)

    distances = ((rows[:, None].astype(int) - centres) ** 2).sum(2)

    assert (
        probed(rows, centres).probes.tolist() == np.argsort(distances, axis=1, kind="stable")[:, :10].tolist()
    )


def test_verified_pairs_do_not_depend_on_the_chunks(described: FeatureDatabase, tmp_path: Path) -> None:
    together, apart = copied(described, tmp_path / "together"), copied(described, tmp_path / "apart")

    match(together, NEAR, WIDE)
    photos = ProbedPhotos()
    match(apart, WIDE, photos=photos)
    match(apart, NEAR, photos=photos)

    assert together.pairs() == apart.pairs()
    assert together.pairs()[NEAR].num_inliers > 100
    inliers = together.inlier_matches(), apart.inlier_matches()
    assert all(np.array_equal(inliers[0][pair], inliers[1][pair]) for pair in (NEAR, WIDE))


def test_pairs_that_a_kill_left_without_geometry_are_verified(
    described: FeatureDatabase, tmp_path: Path
) -> None:
    undisturbed, killed = copied(described, tmp_path / "undisturbed"), copied(described, tmp_path / "killed")
    with ThreadPoolExecutor(1) as pool:
        left = ProbedPhotos().matches([NEAR], killed, pycolmap.SiftMatchingOptions(), pool)
    killed.add_matches({}, left)

    match(undisturbed, NEAR)
    match(killed, NEAR)

    assert killed.pairs() == undisturbed.pairs()


def test_colmap_matches_where_another_of_its_matchers_is_wanted(
    described: FeatureDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = pycolmap.FeatureMatchingOptions()
    options.use_gpu = False
    assert finds_itself(options)
    options.type = pycolmap.FeatureMatcherType.SIFT_LIGHTGLUE
    assert not finds_itself(options)

    def refuse(*arguments: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(ProbedPhotos, "matches", refuse)
    database = copied(described, tmp_path / "brute")
    match(database, NEAR, cpu_brute_force_matcher=True)

    assert database.pairs()[NEAR].num_inliers > 100


def test_photos_needed_longest_ago_are_forgotten(
    described: FeatureDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, read = ProbedPhotos(), list[str]()
    features = FeatureDatabase.features

    def counted(self: FeatureDatabase, name: str) -> tuple[np.ndarray, np.ndarray]:
        read.append(name)
        return features(self, name)

    monkeypatch.setattr(FeatureDatabase, "features", counted)
    options = pycolmap.SiftMatchingOptions()
    with ThreadPoolExecutor(1) as pool:
        first = photos.matches([NEAR], described, options, pool)
        again = photos.matches([NEAR], described, options, pool)
        assert read == list(NEAR)
        monkeypatch.setattr(descriptors, "_MOST_BYTES", 0)
        photos.matches([NEAR], described, options, pool)
        photos.matches([NEAR], described, options, pool)

    assert read == [*NEAR, *NEAR]
    assert np.array_equal(first[NEAR], again[NEAR])


def test_photos_without_features_have_no_matches(described: FeatureDatabase, tmp_path: Path) -> None:
    database = copied(described, tmp_path / "copy")
    with pycolmap.Database.open(database.path) as colmap:
        colmap.clear_keypoints()
        colmap.clear_descriptors()

    match(database, NEAR)

    assert database.matches()[NEAR].shape == (0, 2)
    assert not database.pairs()[NEAR].verified


def test_photos_that_are_described_anew_are_read_anew(demo_data: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in NEAR:
        shutil.copy(demo_data / "images" / name, photos)
    kept: list[int] = []
    with Workspace(tmp_path / "out", source=photos) as workspace:
        backend = SiftBackend(BackendContext(workspace, Config(), 1, SilentProgress()))
        for count in (2000, 600):
            config = replace(Config(), sift=SiftConfig(max_num_features=count))
            backend = replace(backend, context=replace(backend.context, config=config))
            kept.append(_most_matched(backend, photos, workspace))

    assert kept[0] > 1000
    assert kept[1] < 1000


def _most_matched(backend: SiftBackend, photos: Path, workspace: Workspace) -> int:
    """The largest index of a matched keypoint."""
    found = ingest(
        photos,
        images_dir=workspace.images,
        cache_dir=workspace.cache,
        config=Config().images,
        threads=1,
        events=NullEvents(),
        progress=SilentProgress(),
    )
    database = FeatureDatabase(workspace.database)
    database.sync(found, backend.keys())
    backend.describe(found, database)
    backend.match({NEAR: Edge(0.5, Reason.LOOP)}, found, database)
    return int(database.matches()[NEAR].max())
