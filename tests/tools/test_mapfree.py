"""The Map-free benchmark: its figures worked by hand, its layout end to end, malformed files named."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import mapfree
import numpy as np
import pycolmap
import pytest
from metrics.map_free import Scored, average_precision, figures, scored, vcre, virtual_points
from photo_sets.mapfree import load_mapfree
from photo_sets.mapfree_submission import Estimate, read_submission, write_submission
from scipy.spatial.transform import Rotation

from sfm.errors import InputError
from tests.conftest import MakeOnce
from tests.rooms import Shot, speckled, write_room

CALIBRATION = np.array([[100.0, 0, 5000], [0, 100, 5000], [0, 0, 1]])
WIDE = (10000, 10000)
"""So large that nothing is clamped."""


def moved(x: float = 0.0, z: float = 0.0, turn_deg: float = 0.0) -> pycolmap.Rigid3d:
    turn = Rotation.from_euler("y", turn_deg, degrees=True)
    return pycolmap.Rigid3d(pycolmap.Rotation3d(turn.as_quat()), np.array([x, 0, z]))


def test_the_virtual_points_stand_before_the_camera_as_published() -> None:
    points = virtual_points()

    assert points.shape == (196, 3)
    np.testing.assert_allclose(points.min(axis=0), (-0.9, -0.45, 1.8))
    np.testing.assert_allclose(points.max(axis=0), (0.9, 0.45, 3.6))


def test_a_step_aside_moves_each_point_by_its_inverse_depth() -> None:
    # f * 0.1 m / z, mean over z of 1.8, 2.1, ..., 3.6 m
    by_hand = np.mean([10 / z for z in (1.8, 2.1, 2.4, 2.7, 3.0, 3.3, 3.6)])
    truth = moved(x=3.0, turn_deg=40)

    assert vcre(truth, truth, CALIBRATION, WIDE) == pytest.approx(0, abs=1e-9)
    assert vcre(truth, moved(x=0.1) * truth, CALIBRATION, WIDE) == pytest.approx(by_hand)


def test_projections_are_clamped_to_the_picture() -> None:
    # All points are seen at x > 10 px or clamped to it in a picture of 10 px, whatever the error.
    small = np.array([[1000.0, 0, 2000], [0, 1000, 2000], [0, 0, 1]])

    assert vcre(moved(), moved(x=0.2), small, (10, 10)) == pytest.approx(0, abs=1e-9)
    # Turned round, all points lie behind: each goes from its pixel to a border of the picture.
    behind = vcre(moved(), moved(turn_deg=180), CALIBRATION, WIDE)
    assert 0.4 * WIDE[0] < behind < 1.5 * WIDE[0]


def test_average_precision_by_hand() -> None:
    # Ranked right, wrong, right: 1/2 * 1/1 + 1/2 * 2/3.
    assert average_precision([9, 5, 2], [True, False, True]) == pytest.approx(0.5 + 1 / 3)
    # A query without a pose is one that should have been found: 1/3 * 1 + 1/3 * 2/3.
    assert average_precision([9, 5, 2, None], [True, False, True, False]) == pytest.approx(1 / 3 + 2 / 9)
    # Equal confidences pass together: the only threshold has 1 right of 2.
    assert average_precision([4, 4], [True, False]) == pytest.approx(0.5)
    assert average_precision([4, 4], [False, True]) == pytest.approx(0.5)
    assert average_precision([1, 2], [False, False]) == 0
    assert average_precision([None, None], [False, False]) == 0


def test_precision_counts_missing_queries_and_medians_are_by_scene() -> None:
    queries = [
        Scored("s1", 10, 0.1, 1.0, 50.0),
        Scored("s1", 80, 0.3, 1.0, 40.0),
        Scored("s1", 200, 9.0, 90.0, 5.0),
        Scored("s1"),
        Scored("s2", 44, 0.1, 6.0, 30.0),
    ]

    found = figures(queries)

    assert found["missing"] == 1
    assert found["vcre_90px_precision"] == pytest.approx(3 / 5)
    assert found["vcre_45px_precision"] == pytest.approx(2 / 5)
    assert found["pose_precision"] == pytest.approx(1 / 5)
    assert found["median_error_m"] == pytest.approx((0.3 + 0.1) / 2)
    assert found["median_error_deg"] == pytest.approx((1.0 + 6.0) / 2)


def test_the_error_is_that_of_the_centre_and_of_the_rotation() -> None:
    truth = moved(x=2.0)
    estimate = pycolmap.Rigid3d(
        moved(turn_deg=3).rotation, moved(turn_deg=3).rotation * np.array([2.0, 0, 0])
    )

    found = scored("s1", truth, estimate, 7.0, CALIBRATION, WIDE)

    assert found.error_m == pytest.approx(0, abs=1e-9)
    assert found.error_deg == pytest.approx(3)


def place(scene: str, number: int) -> str:
    return f"val/{scene}/seq1/frame_{number:05d}.jpg"


@pytest.fixture(scope="module")
def dataset(make_once: MakeOnce) -> Path:
    """Two scenes of a rendered room as the site ships them in `images/val`, with an oracle for all photos."""

    def make(folder: Path) -> None:
        shots = {}
        for scene, shift in (("s00000", 0.0), ("s00001", 1.0)):
            shots[f"val/{scene}/seq0/frame_00000.jpg"] = Shot((-1.5 + shift, -4.0, 1.6), k1=0.0)
            for number in range(11):
                eye = (-1.0 + shift + 0.15 * number, -3.6, 1.6)
                shots[place(scene, number)] = Shot(eye, k1=0.0)
        for name in shots:
            for kind in ("images", "depth"):
                (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        write_room(folder, shots, textures=[speckled(i, 120, 120) for i in range(3)])
        truth = json.loads((folder / "gt.json").read_text())["images"]
        for scene in ("s00000", "s00001"):
            names = [name for name in truth if name.startswith(f"val/{scene}/")]
            reference = pose_in(truth, f"val/{scene}/seq0/frame_00000.jpg")
            inside = [name.removeprefix(f"val/{scene}/") for name in names]
            poses = [pose_in(truth, name) * reference.inverse() for name in names]
            root = folder / "images" / "val" / scene
            (root / "poses.txt").write_text("".join(map(pose_line, inside, poses)))
            (root / "intrinsics.txt").write_text("".join(f"{n} 130 130 80 60 160 120\n" for n in inside))

    return make_once("map-free", make)


def pose_in(truth: dict, name: str) -> pycolmap.Rigid3d:
    entry = truth[name]
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(entry["R_cw"])), np.array(entry["t_cw"]))


def pose_line(name: str, pose: pycolmap.Rigid3d) -> str:
    x, y, z, w = pose.rotation.quat
    return f"{name} {' '.join(str(float(v)) for v in (w, x, y, z, *pose.translation))}\n"


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mapfree.py", *map(str, words)])
    mapfree.main()


def test_a_copy_of_the_layout_runs_end_to_end(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("backend=mast3r", "mast3r.image_size=128", f"internal.mast3r.oracle={dataset}")
    words = [word for option in options for word in ("--option", option)]

    run(monkeypatch, dataset / "images", "--out", tmp_path / "poses.zip", *words)

    printed = json.loads(capsys.readouterr().out)
    with zipfile.ZipFile(tmp_path / "poses.zip") as archive:
        assert sorted(archive.namelist()) == ["pose_s00000.txt", "pose_s00001.txt"]
        lines = archive.read("pose_s00000.txt").decode().splitlines()
    assert [line.split()[0] for line in lines] == [f"seq1/frame_{n:05d}.jpg" for n in (0, 5, 10)]
    assert {len(line.split()) for line in lines} == {9}
    measured = printed["measured"]
    assert measured["queries"] == 6
    assert measured["missing"] == 0
    assert measured["vcre_45px_auc"] == pytest.approx(1)
    assert measured["median_error_m"] < 0.15
    assert measured["median_error_deg"] < 0.5

    run(monkeypatch, dataset / "images", "--score", tmp_path / "poses.zip", "--scenes", "s00000")

    assert json.loads(capsys.readouterr().out)["measured"]["queries"] == 3


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "holds no scene"),
        ({"pose_s09999.txt": "seq1/frame_00000.jpg 1 0 0 0 0 0 0 1\n"}, "poses of s09999"),
    ],
)
def test_submissions_of_other_scenes_are_refused(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, str], message: str
) -> None:
    with zipfile.ZipFile(tmp_path / "poses.zip", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)

    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, dataset / "images", "--score", tmp_path / "poses.zip")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("intrinsics.txt", "seq1/frame_00005.jpg 130 130", "seq1/frame_00005.jpg 130 x", "intrinsics.txt:7"),
        ("intrinsics.txt", "seq1/frame_00005.jpg 130", "seq1/frame_00005.jpg", "intrinsics.txt:7: 6 values"),
        (
            "intrinsics.txt",
            "seq1/frame_00005.jpg",
            "seq1/other.jpg",
            "intrinsics.txt has no line of seq1/frame",
        ),
        ("intrinsics.txt", "80 60 160 120", "80 60 160 0", "intrinsics.txt:1: '0'"),
        (
            "intrinsics.txt",
            "seq1/frame_00005.jpg 130 130 80 60 160 120",
            "seq1/frame_00005.jpg SIMPLE_RADIAL 160 120 130 80 60 0",
            "seq1/frame_00005.jpg has a SIMPLE_RADIAL",
        ),
        ("poses.txt", "seq1/frame_00001.jpg", "seq1/frame_00000.jpg", "poses.txt:3: 'seq1/frame_00000.jpg'"),
        ("poses.txt", "seq1/frame_00001.jpg", "seq1/frame_00001.jpg 1", "poses.txt:3: expected a path"),
        ("poses.txt", "seq1/frame_00001.jpg ", "seq1/frame_00001.jpg 1", "poses.txt:3: the quaternion"),
        ("poses.txt", "seq0/frame_00000.jpg", "seq1/frame_00099.jpg", "no line of seq0"),
        ("poses.txt", "seq1/frame_00010.jpg", "seq1/frame_00011.jpg", "frame_00011.jpg"),
        ("poses.txt", "seq0/frame_00000.jpg 1.0 0", "seq0/frame_00000.jpg 0.0 1", "poses.txt:1"),
    ],
)
def test_a_malformed_file_is_named(
    dataset: Path, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    folder = tmp_path / "s00000"
    shutil.copytree(dataset / "images" / "val" / "s00000", folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))

    with pytest.raises(InputError) as error:
        load_mapfree(folder)

    assert message in str(error.value)
    assert str(folder) in str(error.value)


def test_a_missing_photo_or_scene_is_named(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s00000"
    shutil.copytree(dataset / "images" / "val" / "s00000", folder)
    (folder / "seq1" / "frame_00005.jpg").unlink()

    with pytest.raises(InputError, match=r"frame_00005\.jpg is missing"):
        load_mapfree(folder)
    with pytest.raises(InputError, match="s00009"):
        mapfree.scene_folders(dataset / "images", "val", ("s00009",))


def test_without_truth_every_fifth_photo_is_a_query(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s00000"
    shutil.copytree(dataset / "images" / "val" / "s00000", folder)
    (folder / "poses.txt").unlink()

    scene = load_mapfree(folder)

    assert [query.name[-6:-4] for query in scene.queries] == ["00", "05", "10"]
    assert not scene.has_truth


def test_a_submission_is_read_as_it_was_written(tmp_path: Path) -> None:
    estimate = Estimate(moved(x=1.0, z=-2.0, turn_deg=30), 12.0)
    write_submission(tmp_path / "a.zip", {"s00001": {"seq1/frame_00000.jpg": estimate}, "s00002": {}})

    found = read_submission(tmp_path / "a.zip")

    assert found["s00002"] == {}
    read = found["s00001"]["seq1/frame_00000.jpg"]
    assert read.confidence == 12
    np.testing.assert_allclose(read.cam_from_world.matrix(), estimate.cam_from_world.matrix(), atol=1e-7)


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("folder/pose_s00001.txt", "", "folder/pose_s00001"),
        ("pose_s00001.txt", "a 1 0 0 0 0 0 0\n", "pose_s00001.txt:1: expected a path"),
        ("pose_s00001.txt", "a 1 0 0 0 0 0 0 -1\n", "pose_s00001.txt:1: the confidence"),
        ("pose_s00001.txt", "a 1 0 0 0 0 0 0 nan\n", "pose_s00001.txt:1"),
        ("pose_s00001.txt", "a 2 0 0 0 0 0 0 1\n", "pose_s00001.txt:1: the quaternion"),
        ("pose_s00001.txt", "a 1 0 0 0 0 0 0 1\n" * 2, "pose_s00001.txt:2: a second pose"),
    ],
)
def test_a_malformed_submission_is_named(tmp_path: Path, member: str, content: str, message: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, content)

    with pytest.raises(InputError) as error:
        read_submission(tmp_path / "a.zip")

    assert message in str(error.value)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pose_s00001.txt", "seq1/frame_00000.jpg 1 0 0 0 0 0 0 1\n" * 50)
    whole = (tmp_path / "a.zip").read_bytes()
    for place in range(30, 90):
        damaged = bytearray(whole)
        damaged[place] ^= 255
        (tmp_path / "a.zip").write_bytes(damaged)

        with pytest.raises(InputError, match=r"a\.zip"):
            read_submission(tmp_path / "a.zip")


def test_what_is_no_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("poses")

    with pytest.raises(InputError, match=r"a\.zip is not a readable zip"):
        read_submission(tmp_path / "a.zip")
