"""Street grids: made as their truth says, mapped in clusters, and folded where they look alike."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from metrics.mapper_folds import known_false_pairs
from metrics.mapper_scores import read_models, score
from street_grid import _FOCAL_PX, Grid, make
from synthetic.grid_photos import HEIGHT, NOISE_PX, WIDTH, pose, take
from synthetic.street_grids import build_town, camera_places

from sfm.config.loading import load_config
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.evaluation import GroundTruth, load_ground_truth
from sfm.mapping import ViewGraph
from sfm.pipelines.map_database import map_database


def test_names_say_what_is_made() -> None:
    assert Grid.parse("grid-300-alike-bridge-s3") == Grid(300, frozenset({"alike", "bridge"}), 3)
    assert Grid.parse("grid-100") == Grid(100, frozenset(), 0)
    for name in ("grid-300-foggy", "grid", "town-3", "grid-100-s1-s2"):
        with pytest.raises(ValueError, match="is no street grid"):
            Grid.parse(name)


@pytest.mark.parametrize("k1", [0.0, -0.05])
def test_keypoints_are_the_projections_with_noise(k1: float) -> None:
    rng = np.random.default_rng(1)
    town = build_town(100, alike=False, bridge=False, rng=rng)
    centres, headings = camera_places(town, 100, rng)
    photo = take(town, centres[7], pose(centres[7], headings[7], 0.1, 0.02), 840.0, k1, rng)
    camera = pycolmap.Camera(
        model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=[840.0, WIDTH / 2, HEIGHT / 2, k1]
    )

    world = town.points.position[photo.points]
    expected = camera.img_from_cam(world @ photo.rotation.T + photo.translation)

    off = photo.keypoints[photo.order] - expected
    assert len(off) > 100
    assert off.std() == pytest.approx(NOISE_PX, rel=0.15)
    assert abs(off.mean()) < 0.1


def test_nobody_sees_through_a_house_or_stands_in_one() -> None:
    rng = np.random.default_rng(0)
    town = build_town(300, alike=True, bridge=True, rng=rng)
    centres, headings = camera_places(town, 300, rng)
    west, south, east, north = town.houses.T

    def inside(xy: np.ndarray) -> np.ndarray:
        x, y = xy[:, :1], xy[:, 1:]
        return ((x > west + 0.1) & (x < east - 0.1) & (y > south + 0.1) & (y < north - 0.1)).any(axis=1)

    assert not inside(centres[:, :2]).any()
    for i in range(0, 300, 30):
        photo = take(town, centres[i], pose(centres[i], headings[i], 0.1, 0.0), 840.0, 0.0, rng)
        ends = town.points.position[photo.points, :2]
        for share in np.linspace(0.02, 0.98, 25):
            assert not inside(centres[i, :2] + share * (ends - centres[i, :2])).any()


@pytest.mark.slow
def test_a_database_is_what_its_truth_says_and_repeats_itself(tmp_path: Path) -> None:
    figures = make(Grid.parse("grid-100-alike"), tmp_path / "a")
    make(Grid.parse("grid-100-alike"), tmp_path / "b")

    truth = load_ground_truth(tmp_path / "a" / "gt.json")
    false = json.loads((tmp_path / "a" / "false_pairs.json").read_text())
    with (
        pycolmap.Database.open(tmp_path / "a" / "database.db") as first,
        pycolmap.Database.open(tmp_path / "b" / "database.db") as second,
    ):
        ids, geometries = first.read_two_view_geometries()
        again, others = second.read_two_view_geometries()
        names = {image.image_id: image.name for image in first.read_all_images()}
        keypoints = {name: first.read_keypoints(image_id)[:, :2] for image_id, name in names.items()}
    assert ids == again
    for a, b in zip(geometries, others, strict=True):
        np.testing.assert_array_equal(a.inlier_matches, b.inlier_matches)
    assert figures["false"] == len(false) > 10
    wrong, errors = {tuple(pair) for pair in false}, {}
    for pair_id, geometry in zip(ids, geometries, strict=True):
        pair = tuple(names[k] for k in pycolmap.pair_id_to_image_pair(pair_id))
        errors[pair] = epipolar_error_px(keypoints, truth, pair, geometry.inlier_matches)
    assert max(error for pair, error in errors.items() if pair not in wrong) < 2.0
    assert min(error for pair, error in errors.items() if pair in wrong) > 2.0


def epipolar_error_px(
    keypoints: dict[str, np.ndarray], truth: GroundTruth, pair: tuple[str, ...], matches: np.ndarray
) -> float:
    """Median distance of the second photo's keypoints from the lines where the truth has them."""
    focal = np.array([_FOCAL_PX, _FOCAL_PX, 1.0])
    rays = [
        np.column_stack([keypoints[name][matches[:, k]] - [WIDTH / 2, HEIGHT / 2], np.ones(len(matches))])
        / focal
        for k, name in enumerate(pair)
    ]
    motion = truth.poses[pair[1]] * truth.poses[pair[0]].inverse()
    lines = np.cross(motion.translation, rays[0] @ motion.rotation.matrix().T)
    off = np.abs(np.sum(lines * rays[1], axis=1)) / np.linalg.norm(lines[:, :2], axis=1)
    return float(np.median(off)) * _FOCAL_PX


NUM_VIEWS = 100


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    make(Grid.parse(f"grid-{NUM_VIEWS}-alike"), folder)
    return folder


def test_most_false_pairs_of_a_town_are_likelier_false_and_few_true_ones(grid: Path) -> None:
    false = (
        known_false_pairs(grid.name, grid / "database.db") & ViewGraph.read(grid / "database.db").edges.keys()
    )

    report = read_inconsistent_pairs(grid / "database.db")

    true = report.probability.keys() - false
    assert len(report.deferred & false) >= 0.8 * len(false) > 20
    assert len(report.deferred & true) <= 0.15 * len(true)


@pytest.mark.parametrize(
    ("deferred", "relocation", "sound"),
    [
        ("defer", False, True),
        pytest.param("defer", True, True, marks=pytest.mark.slow),
        pytest.param(
            "trust",
            True,
            True,
            marks=pytest.mark.slow,
        ),
        ("trust", False, False),
    ],
)
def test_deferring_pairs_and_relocating_parts_each_keep_the_town_from_folding(
    deferred: str,
    relocation: bool,
    sound: bool,
    grid: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["run.threads=2", "export.report=false", f"register.inconsistent_pairs={deferred}"]
    if not relocation:
        for stage in ("registrar", "refinement.final_refinement"):
            monkeypatch.setattr(f"sfm.mapping.{stage}.relocate_parts", lambda context, submodel: submodel)

    map_database(grid / "database.db", output=tmp_path, config=load_config(overrides=options))

    found = score(read_models(tmp_path), load_ground_truth(grid / "gt.json"))
    assert (found.right == NUM_VIEWS) is sound
    assert not sound or found.auc3 > 95
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    counts = [event for event in events if event["event"] == "deferred_pairs"]
    assert bool(counts) is (deferred == "defer")
    assert all(c["num_refused"] > 0 for c in counts)
    moved = [event for event in events if event["event"] == "relocated" and event["accepted"]]
    assert bool(moved) is (deferred == "trust" and relocation)
