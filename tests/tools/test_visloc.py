"""Visual localisation: the kapture layout, figures worked by hand, the submission, malformed files named."""

import json
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import visloc
from photo_sets.kapture import load_kapture

from sfm.errors import InputError

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
    words = ["visloc.py", query, query, "--submission", query / "out.txt"]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])

    visloc.main()

    found = json.loads(capsys.readouterr().out)[str(query)]
    assert (found["queries"], found["localised"], found["with_truth"]) == (3, 2, 2)
    assert found["median_error_m"] == pytest.approx(0.025)
    assert found["median_error_deg"] == pytest.approx(0.75)
    assert list(found["within"].values()) == [0.5, 1, 1, 1]
    assert (query / "out.txt").read_text().splitlines()[0] == "a.jpg 1 0 0 0 1 2 3.05"
