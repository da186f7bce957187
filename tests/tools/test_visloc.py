"""Visual localisation: layouts, staging, figures worked by hand, the submission, malformed files named."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import visloc
from photo_sets.kapture import load_kapture, load_pairs
from photo_sets.visloc import LAYOUTS, load_visloc

from sfm.colmap.model_files import read_models
from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from tests.tools.fabricate import Poses
from tests.tools.visloc_layouts import MAKERS, kapture

FILES = {
    "sensors.txt": "# kapture format: 1.1\ncam0, , camera, PINHOLE, 640, 480, 500, 500, 320, 240\n",
    "records_camera.txt": "# t, id, path\n0, cam0, q/a.jpg\n1, cam0, q/b.jpg\n2, cam0, q/c.jpg\n",
    "trajectories.txt": "# poses\n0, cam0, 1, 0, 0, 0, 1, 2, 3\n1, cam0, 1, 0, 0, 0, 0, 0, 0\n",
}


@pytest.fixture
def query(tmp_path: Path) -> Path:
    (tmp_path / "sensors").mkdir()
    for name, text in FILES.items():
        (tmp_path / "sensors" / name).write_text(text)
    return tmp_path


def test_photos_have_cameras_and_the_poses_there_are(query: Path) -> None:
    found = load_kapture(query)

    assert list(found) == ["q/a.jpg", "q/b.jpg", "q/c.jpg"]
    pose, camera = found["q/a.jpg"].cam_from_world, found["q/a.jpg"].camera
    assert pose is not None
    assert camera is not None
    np.testing.assert_allclose(pose.translation, [1, 2, 3])
    assert (camera.width, list(camera.params)) == (640, [500, 500, 320, 240])
    assert found["q/c.jpg"].cam_from_world is None


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("sensors.txt", "PINHOLE", "PIN", "sensors.txt:2: 'PIN' is no camera model"),
        ("sensors.txt", ", 240", "", "sensors.txt:2: expected width, height and 4"),
        ("sensors.txt", "640", "0", "sensors.txt:2: width and height"),
        ("sensors.txt", "640", "1e30", "sensors.txt:2: width and height"),
        ("sensors.txt", "500", "-500", "sensors.txt:2: a focal length"),
        ("records_camera.txt", "1, cam0", "1, cam1", "records_camera.txt:3: "),
        ("records_camera.txt", "q/b", "q/a", "records_camera.txt:3: photo 'q/a.jpg' occurs twice"),
        ("records_camera.txt", "1, cam0, q/b.jpg", "1, cam0", "records_camera.txt:3: 2 values"),
        ("trajectories.txt", "1, 2, 3", "1, 2, nan", "trajectories.txt:2: "),
        ("trajectories.txt", "1, 0, 0, 0, 1", "2, 0, 0, 0, 1", "trajectories.txt:2: the quaternion"),
        ("trajectories.txt", "1, cam0", "0, cam0", "trajectories.txt:3: a second pose"),
    ],
)
def test_a_malformed_file_is_named(query: Path, file: str, old: str, new: str, message: str) -> None:
    path = query / "sensors" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(InputError) as error:
        load_kapture(query)

    assert message in str(error.value)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["visloc.py", *map(str, words)])
    visloc.main()


def test_every_layout_is_fabricated() -> None:
    assert set(MAKERS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", MAKERS)
def test_queries_and_the_map_are_staged_for_our_commands(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "given", tmp_path / "staged"
    root.mkdir()
    made = MAKERS[layout](root)

    run(monkeypatch, layout, root, "--stage", out)

    given = load_visloc(layout, root)
    queries = given.queries.records
    assert below(out / "query") == set(queries)
    has_cameras = all(one.camera is not None for one in queries.values())
    assert has_cameras == (layout != "cambridge")
    lines = (out / "intrinsics.txt").read_text().splitlines() if has_cameras else []
    assert [line.split()[0] for line in lines] == (list(queries) if has_cameras else [])
    assert_true({name: one.cam_from_world for name, one in queries.items() if one.cam_from_world}, made)
    assert (given.mapping is not None) == (layout not in ("aachen", "inloc"))
    if given.mapping is None:
        assert not (out / "map").exists()
        return
    if layout == "cambridge":
        poses = load_ground_truth(out / "map.json").poses
    else:
        (model,) = read_models(out / "poses")
        poses = {image.name: image.cam_from_world() for image in model.images.values()}
        assert len(model.cameras) == 1
    assert_true(poses, made)
    assert below(out / "map") == set(poses) == set(given.mapping.records)
    assert set(poses) | {name for name in queries if name in made} == set(made)


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


def assert_true(found: Mapping[str, pycolmap.Rigid3d], made: Poses) -> None:
    assert set(found) <= set(made)
    for name, pose in found.items():
        np.testing.assert_allclose(pose.matrix(), made[name].matrix(), atol=1e-9)


def test_a_folder_is_staged_into_again_but_not_that_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out, mine = tmp_path / "given", tmp_path / "staged", tmp_path / "mine"
    root.mkdir()
    mine.mkdir()
    kapture(root)
    (mine / "intrinsics.txt").write_text("mine")
    for _ in range(2):
        run(monkeypatch, "kapture", root, "--stage", out)

    with pytest.raises(SystemExit, match=r"error: .*mine is not empty, and was not staged here"):
        run(monkeypatch, "kapture", root, "--stage", mine)

    assert [path.read_text() for path in mine.iterdir()] == ["mine"]


def test_pairs_of_another_retrieval_are_staged_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kapture(tmp_path)
    file = tmp_path / "pairsfile" / "query" / "top2.txt"

    run(monkeypatch, "kapture", tmp_path, "--stage", tmp_path / "out", "--pairs", file)

    # db/3.jpg is not in the map
    wanted = "q/a.jpg\tdb/2.jpg\nq/a.jpg\tdb/1.jpg\nq/b.jpg\tdb/1.jpg\n"
    assert (tmp_path / "out" / "pairs.txt").read_text() == wanted


@pytest.mark.parametrize(
    ("layout", "file", "old", "new", "message"),
    [
        ("aachen", "queries/day_time_queries_with_intrinsics.txt", "SIMPLE", "S", "intrinsics.txt:1: 'S_RA"),
        ("aachen", "queries/night_time_queries_with_intrinsics.txt", "night/b", "day/a", "occurs twice"),
        ("inloc", "query/iphone7/IMG_0732.JPG", None, "no photo", "IMG_0732.JPG is no readable photo"),
        ("cambridge", "dataset_test.txt", "Visual", "Virtual", "dataset_test.txt is no list of Cambridge"),
        ("cambridge", "dataset_train.txt", "seq1/2.png", "seq1/2.png 1", "dataset_train.txt:5: expected"),
        ("cambridge", "dataset_train.txt", "seq1/2", "seq1/1", "dataset_train.txt:5: photo"),
        ("7scenes", "TestSplit.txt", "sequence2", "second", "TestSplit.txt:1: 'second' is no sequence"),
        ("7scenes", "TrainSplit.txt", "sequence1", "sequence7", "seq-07 is missing"),
        ("7scenes", "seq-02/frame-000000.pose.txt", " 1.0\n", " 2.0\n", "frame-000000.pose.txt"),
        (
            "7scenes",
            "seq-02/frame-000001.pose.txt",
            None,
            "1 0 0 0\n",
            "frame-000001.pose.txt: expected the 4",
        ),
        ("7scenes", "seq-02/frame-000001.pose.txt", None, "1 0 0 x\n" * 4, "frame-000001.pose.txt:1: "),
        ("7scenes", "seq-02/frame-000001.pose.txt", None, '<a href="#info">\n', "pose.txt: expected the 4"),
        ("7scenes", "seq-02/frame-000001.pose.txt", None, "1 0 0 #a\n" * 4, "frame-000001.pose.txt:1: "),
        ("kapture", "mapping/sensors/trajectories.txt", None, "# none\n", "trajectories.txt has no pose of"),
        ("kapture", "query/sensors/records_camera.txt", None, "a\n", "records_camera.txt:1: 1 values, 3 are"),
        ("aachen", "queries/day_time_queries_with_intrinsics.txt", None, "\n", "intrinsics.txt names no"),
    ],
)
def test_a_malformed_file_of_any_layout_is_named(
    layout: str, file: str, old: str | None, new: str, message: str, tmp_path: Path
) -> None:
    MAKERS[layout](tmp_path)
    path = tmp_path / file
    if old is None:
        path.write_text(new)
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(InputError) as error:
        load_visloc(layout, tmp_path)

    assert message in str(error.value)


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("kapture", "query/sensors/sensors.txt"),
        ("aachen", "queries/day_time_queries_with_intrinsics.txt"),
        ("inloc", "query/iphone7/IMG_0731.JPG"),
        ("cambridge", "dataset_test.txt"),
        ("7scenes", "seq-01/frame-000001.pose.txt"),
        ("7scenes", "TrainSplit.txt"),
    ],
)
def test_a_missing_file_ends_the_command_in_a_line(
    layout: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MAKERS[layout](tmp_path)
    (tmp_path / file).unlink()
    for other in (tmp_path / file).parent.glob("*queries*"):
        other.unlink()
    for other in (tmp_path / file).parent.glob("*.JPG"):
        other.unlink()

    with pytest.raises(SystemExit, match=r"error: .*(missing|no photos|holds no)"):
        run(monkeypatch, layout, tmp_path, "--stage", tmp_path / "out")


@pytest.mark.parametrize("name", ["../outside.jpg", "/outside.jpg"])
def test_no_link_is_made_outside_of_the_staged_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "given", tmp_path / "staged"
    root.mkdir()
    MAKERS["kapture"](root)
    records = root / "query/sensors/records_camera.txt"
    lines = records.read_text().splitlines()
    records.write_text("\n".join([*lines[:-1], f"{lines[-1].rpartition(',')[0]}, {name}"]) + "\n")

    with pytest.raises(SystemExit, match=r"error: .*outside\.jpg' cannot be used as the name of a photo"):
        run(monkeypatch, "kapture", root, "--stage", out)

    assert not out.exists() or below(out) == set()


@pytest.mark.parametrize("line", ["q/a.jpg, db/1.jpg", "q/a.jpg, db/1.jpg, best", ""])
def test_malformed_pairs_are_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text(line)

    with pytest.raises(InputError, match=r"pairs\.txt"):
        load_pairs(tmp_path / "pairs.txt")


GOOD = {"name": "q/a.jpg", "state": "localised", "R_cw": np.eye(3).tolist(), "t_cw": [0, 0, 0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ("[]", "is no poses.json"),
        ('{"queries": {}}', "is no poses.json"),
        ('{"queries": ["q/a.jpg"]}', "is no poses.json"),
        ({"name": None}, "None is no query"),
        ({"name": ["q/a.jpg"]}, "is no query"),
        ({"name": "q/z.jpg"}, "'q/z.jpg' is no query"),
        ({"R_cw": None}, "q/a.jpg: R_cw"),
        ({"t_cw": "far"}, "q/a.jpg: R_cw or t_cw is not given"),
        ({"R_cw": [[1, 0], [0]]}, "R_cw or t_cw is not given"),
        ({"t_cw": [0, 0]}, "q/a.jpg: R_cw is no"),
        ({"R_cw": [[1, 0, 0], [0, 1, 0]]}, "q/a.jpg: R_cw is no"),
        ({"R_cw": [[2, 0, 0]] * 3}, "q/a.jpg: R_cw is no"),
        ({"t_cw": [0, 0, 1e999]}, "JSON|is not finite"),
    ],
)
def test_a_malformed_poses_json_is_named(content: str | dict[str, object], message: str, query: Path) -> None:
    path = query / "poses.json"
    path.write_text(content if isinstance(content, str) else json.dumps({"queries": [GOOD | content]}))

    with pytest.raises(InputError, match=message) as error:
        visloc.read_poses(path, load_kapture(query))

    assert "poses.json" in str(error.value)


def test_a_pose_without_its_rotation_is_refused(query: Path) -> None:
    one = {key: value for key, value in GOOD.items() if key != "R_cw"}
    (query / "poses.json").write_text(json.dumps({"queries": [one]}))

    with pytest.raises(InputError, match=r"poses\.json: q/a\.jpg: R_cw or t_cw is not given"):
        visloc.read_poses(query / "poses.json", load_kapture(query))


def test_a_query_that_occurs_twice_is_refused(query: Path) -> None:
    one = {"name": "q/a.jpg", "state": "not localised", "reason": "dark"}
    (query / "poses.json").write_text(json.dumps({"queries": [one, one]}))

    with pytest.raises(InputError, match=r"poses\.json: 'q/a\.jpg' is no query, or occurs twice"):
        visloc.read_poses(query / "poses.json", load_kapture(query))


def test_poses_are_scored_and_submitted(
    query: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turn = pycolmap.Rotation3d(np.array([0, 0, np.radians(1.5)])).matrix().tolist()
    queries = [
        {"name": "q/a.jpg", "state": "localised", "R_cw": np.eye(3).tolist(), "t_cw": [1, 2, 3.05]},
        {"name": "q/b.jpg", "state": "localised", "R_cw": turn, "t_cw": [0, 0, 0]},
        {"name": "q/c.jpg", "state": "not localised", "reason": "dark"},
    ]
    (query / "poses.json").write_text(json.dumps({"queries": queries}))

    run(monkeypatch, "kapture", query, query, "--submission", query / "out.txt")

    found = json.loads(capsys.readouterr().out)[str(query)]
    assert (found["queries"], found["localised"], found["with_truth"]) == (3, 2, 2)
    assert found["median_error_m"] == pytest.approx(0.025)
    assert found["median_error_deg"] == pytest.approx(0.75)
    assert list(found["within"].values()) == [0.5, 1, 1, 1]
    assert (query / "out.txt").read_text().splitlines()[0] == "a.jpg 1 0 0 0 1 2 3.05"
