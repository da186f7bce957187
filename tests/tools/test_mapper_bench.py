"""The bench of mappers: which photos are right, what is wrong, and whether rules hold."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from metrics.mapper_criteria import judge
from metrics.mapper_folds import known_false_pairs, used_pairs
from metrics.mapper_rows import MapperRow, medians, render
from metrics.mapper_scores import agreement, common_errors, flagged_photos, score

from retrieval import Pair
from sfm.colmap.model_poses import Poses
from sfm.evaluation.ground_truth import GroundTruth
from tests.mapping.synthetic import synthesize


def street(count: int = 20) -> dict[str, pycolmap.Rigid3d]:
    """Photos on a winding way, all looking about."""
    poses = {}
    for i in range(count):
        turn = pycolmap.Rotation3d(np.array([0.0, 0.3 * i, 0.0]))
        centre = np.array([i, 3 * np.sin(i), 0.2 * i % 1])
        poses[f"{i:02d}.jpg"] = pycolmap.Rigid3d(turn, -(turn.matrix() @ centre))
    return poses


def moved(poses: Poses) -> dict[str, pycolmap.Rigid3d]:
    """The same in another frame and unit."""
    world = pycolmap.Sim3d(2.5, pycolmap.Rotation3d(np.array([0.3, -1.0, 0.4])), np.array([5.0, 0.0, -3.0]))
    found = {}
    for name, pose in poses.items():
        inverse = pose.inverse()
        centre = world * inverse.translation
        rotation = (world.rotation * inverse.rotation).inverse()
        found[name] = pycolmap.Rigid3d(rotation, -(rotation.matrix() @ centre))
    return found


def shifted(pose: pycolmap.Rigid3d, by: float) -> pycolmap.Rigid3d:
    return pycolmap.Rigid3d(pose.rotation, pose.translation + np.array([0.0, by, 0.0]))


def test_a_model_in_another_frame_is_all_right() -> None:
    result = score([moved(street())], GroundTruth(street(), None, None))

    assert (result.right, result.right_in_any, result.wrong) == (20, 20, ())
    assert result.auc1 == pytest.approx(100, abs=0.01)
    assert result.ate == pytest.approx(0, abs=1e-9)


def test_a_stray_photo_is_wrong_and_bends_nothing() -> None:
    poses = moved(street())
    poses["03.jpg"] = shifted(poses["03.jpg"], 8.0)
    turn = pycolmap.Rotation3d(np.array([0.0, 0.0, np.radians(3)]))
    centre = poses["05.jpg"].inverse().translation
    rotation = turn * poses["05.jpg"].rotation
    poses["05.jpg"] = pycolmap.Rigid3d(rotation, -(rotation.matrix() @ centre))

    result = score([poses], GroundTruth(street(), None, None))

    assert result.right == 18
    assert result.wrong == ("03.jpg", "05.jpg")


def test_a_second_model_counts_in_any_only() -> None:
    poses = moved(street())
    names = sorted(poses)
    large = {name: poses[name] for name in names[:12]}
    small = moved({name: street()[name] for name in names[12:]})

    result = score([large, small], GroundTruth(street(), None, None))

    assert (result.right, result.right_in_any, result.wrong) == (12, 20, ())


def test_components_are_scored_each_by_its_own_model() -> None:
    one, two = street(8), {f"x{name}": pose for name, pose in street(6).items()}
    truth = GroundTruth({**one, **two}, {**dict.fromkeys(one, "a"), **dict.fromkeys(two, "b")}, None)

    result = score([moved(one), two], truth)
    mixed = score([{**moved(one), "x00.jpg": two["x00.jpg"]}], truth)

    assert (result.right, result.wrong) == (14, ())
    assert (mixed.right, mixed.wrong) == (8, ("x00.jpg",))


def test_agreement_counts_missing_photos() -> None:
    poses = moved(street())
    del poses["04.jpg"]
    poses["05.jpg"] = shifted(poses["05.jpg"], 5.0)

    assert agreement(street(), poses) == 90.0
    assert agreement({}, poses) == 100.0


def test_agreement_forgives_what_another_principal_point_does() -> None:
    tilt = pycolmap.Rotation3d(np.array([0.0, np.radians(4), 0.0]))
    poses = {
        name: pycolmap.Rigid3d(tilt * pose.rotation, tilt.matrix() @ pose.translation)
        for name, pose in moved(street()).items()
    }

    assert agreement(street(), poses) == 100.0
    assert score([poses], GroundTruth(street(), None, None)).right == 0


def test_common_errors_leave_out_what_one_has_wrong() -> None:
    ours, peer = moved(street()), moved(street())
    peer["03.jpg"] = shifted(peer["03.jpg"], 8.0)

    errors = common_errors(ours, peer, GroundTruth(street(), None, None))

    assert errors is not None
    assert max(errors) < 1e-9


def test_registered_photos_with_doubt_are_flagged() -> None:
    outcomes = [
        {"name": "a", "model": 0, "reason": ""},
        {"name": "b", "model": 0, "doubt": "few neighbours"},
        {"name": "c", "model": None, "reason": "no overlap"},
    ]

    assert flagged_photos({"outcomes": outcomes}) == {"b"}


def test_a_pair_is_used_where_its_matches_became_points(tmp_path: Path) -> None:
    scene = synthesize(tmp_path / "database.db", num_images=4, num_points=60)
    (tmp_path / "models" / "0").mkdir(parents=True)
    scene.truth.write_binary(tmp_path / "models" / "0")
    names = sorted(image.name for image in scene.truth.images.values())
    pairs = [Pair(names[0], names[1]), Pair(names[0], names[2]), Pair(names[0], "elsewhere.jpg")]

    assert used_pairs(tmp_path / "models", scene.database, pairs) == 2
    assert used_pairs(tmp_path / "nothing", scene.database, pairs) == 0


def test_false_pairs_are_those_of_the_labels_or_of_the_grid(tmp_path: Path) -> None:
    (tmp_path / "false_pairs.json").write_text('[["b", "a"]]')

    assert known_false_pairs("grid-100-alike", tmp_path / "database.db") == {Pair("a", "b")}
    assert len(known_false_pairs("dup_cereal", Path("database.db"))) == 115
    assert not known_false_pairs("fountain-P11", Path("database.db"))


def row(engine: str, seed: int, **figures: float) -> MapperRow:
    common = {"photos": 100, "registered": 100, "right": 100, "wrong": 0, "unflagged": 0}
    scores = {"auc1": 90.0, "auc3": 95.0, "auc5": 98.0, "ate": 0.001, "seconds": 30.0, "cpu_s": 30.0}
    return MapperRow(
        case="grid-100", engine=engine, seed=seed, models=(100,), **{**common, **scores, **figures}
    )  # type: ignore[arg-type]


def test_rules_hold_or_name_the_case() -> None:
    rows = [row("incremental", s, seconds=30.0 + s) for s in range(3)]
    rows += [row("global", s, seconds=20.0) for s in range(3)]
    good = medians([*rows, *(row("ours", s, seconds=9.0, cpu_s=9.0) for s in range(3))])
    bad = medians(
        [*rows, *(row("ours", s, right=98, unflagged=2, auc1=89.0, seconds=40.0) for s in range(3))]
    )

    assert not [line for line in judge(good) if line.startswith("FAILS")]
    failed = [line for line in judge(bad) if line.startswith("FAILS")]
    assert any("98 < 100" in line for line in failed)
    assert any("@1 89.0 < 90.0" in line for line in failed)
    assert sum("time" in line or "slower" in line for line in failed) == 3


def test_medians_tell_the_spread_and_what_failed() -> None:
    rows = [row("ours", 0, seconds=10.0), row("ours", 1, seconds=14.0), row("ours", 2, seconds=11.0)]

    (middle,) = medians(rows)

    assert (middle.seed, middle.seconds, middle.spread) == (None, 11.0, "seconds 10..14")
    assert "seconds 10..14" in render([middle])
