"""`datasets.py`: what is there, what is wrong with it, and checksums that are pinned when first seen."""

import hashlib
import json
import sys

import datasets
import pytest
from photo_sets.checksums import read_pins

from sfm.errors import InputError
from tests.tools import fabricate


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command; its exit code and what it printed."""

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["datasets.py", *map(str, arguments)])
        code = 0
        try:
            datasets.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            if isinstance(end.code, str):
                return code, end.code
        return code, capsys.readouterr().out

    return command


def test_whole_datasets_pass_and_are_told_with_their_counts(run, tmp_path):
    fabricate.eth3d(tmp_path)
    fabricate.strecha(tmp_path)

    code, text = run("check", tmp_path)

    assert code == 0
    assert "eth3d:pipes" in text
    assert "14 photos, 14 poses (measured), 2 cameras" in text
    assert "not there: courtyard, delivery_area" in text
    assert "get it from https://www.tanksandtemples.org" in text
    assert "problem:" not in text


def test_each_problem_is_a_line_that_names_the_file(run, tmp_path):
    made = fabricate.eth3d(tmp_path)
    (made.folder / "dslr_calibration_undistorted" / "cameras.txt").unlink()
    tanks = fabricate.tanks_and_temples(tmp_path)
    (tanks.folder / "000009.jpg").unlink()
    fabricate.strecha(tmp_path)

    code, text = run("check", tmp_path)

    assert code == 1
    problems = [line.strip() for line in text.splitlines() if line.startswith("  problem: ")]
    assert len(problems) == 2
    assert problems[0].startswith("problem: eth3d:pipes:")
    assert "dslr_calibration_undistorted/cameras.txt is missing" in problems[0]
    assert "000009.jpg is missing" in problems[1]
    assert "strecha:Herz-Jesus-P8" in text


def test_photos_of_another_size_than_their_cameras_and_unreadable_ones_are_problems(run, tmp_path):
    made = fabricate.eth3d(tmp_path)
    name = next(iter(made.poses))
    fabricate.write_photos(made.folder / "images", [name], (32, 24))

    code, text = run("check", tmp_path)

    assert code == 1
    assert "has 32 x 24 pixels, its true camera 64 x 48" in text
    (made.folder / "images" / name).write_bytes(b"no photo")
    assert "is not a readable photo" in run("check", tmp_path)[1]


def test_the_json_form_holds_the_same(run, tmp_path):
    made = fabricate.eth3d(tmp_path)
    (made.folder / "images" / "dslr_images_undistorted" / "DSC_0634.JPG").unlink()

    code, text = run("check", tmp_path, "--json")

    states = {state["dataset"]: state for state in json.loads(text)}
    assert code == 1
    assert states["eth3d"]["scenes"][0]["name"] == "eth3d:pipes"
    assert "DSC_0634.JPG is missing" in states["eth3d"]["problems"][0]
    assert not states["strecha"]["present"]
    assert states["strecha"]["get"]


def test_checksums_are_pinned_at_first_sight_and_changes_are_named(run, tmp_path):
    made = fabricate.strecha(tmp_path)
    pins = tmp_path / "strecha" / "SHA256SUMS"

    assert run("check", tmp_path)[0] == 0
    assert not pins.exists()
    code, text = run("check", tmp_path, "--pin")
    assert (code, "0 files as pinned, 17 pinned now, 0 changed" in text) == (0, True)
    photo = made.folder / "images" / "0003.jpg"
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    assert f"{digest}  Herz-Jesus-P8/images/0003.jpg\n" in pins.read_text()

    code, text = run("check", tmp_path)  # a list that is there is used without being asked for
    assert (code, "17 files as pinned, 0 pinned now" in text) == (0, True)

    with photo.open("ab") as stream:
        stream.write(b"\0")
    (made.folder / "images" / "K.txt").unlink()
    code, text = run("check", tmp_path, "--pin")
    assert code == 1
    assert "images/0003.jpg has changed: SHA-256" in text
    assert "images/K.txt is missing: SHA256SUMS knows it" in text
    assert digest in pins.read_text()  # what was seen first stays


def test_a_list_that_is_none_is_a_problem(run, tmp_path):
    fabricate.strecha(tmp_path)
    pins = tmp_path / "strecha" / "SHA256SUMS"
    pins.write_text("abc  file\n")

    code, text = run("check", tmp_path)

    assert code == 1
    assert "SHA256SUMS:1: expected 'SHA256  NAME'" in text
    with pytest.raises(InputError):
        read_pins(pins)


def test_a_folder_that_is_none_is_an_error(run, tmp_path):
    code, text = run("check", tmp_path / "nowhere")

    assert code == 1
    assert "nowhere is not a folder" in text


def test_the_list_says_where_to_get_each_dataset_its_scenes_and_counts(run):
    code, text = run("list")

    assert code == 0
    for words in (
        "training: courtyard 38",
        "pipes 14",
        "Barn 410",
        "Herz-Jesus-P8 8",
        "https://www.eth3d.net",
        "door ?",
        "memory",
    ):
        assert words in text
    entries = {entry["dataset"]: entry for entry in json.loads(run("list", "--json")[1])}
    assert entries["tanks_and_temples"]["photos"]["Courthouse"] == 1106
