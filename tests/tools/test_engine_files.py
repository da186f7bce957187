"""Engines that a user has installed: their file, their runs, and what becomes of bad ones."""

import json
import re
import sys
from pathlib import Path

import pycolmap
import pytest
from engines.engine_files import filled_command, read_engines
from engines.runs import OWN, Job, run_job
from engines.settings import BENCH, Settings
from peers import jobs_of, rows_of
from photo_sets.sets import PhotoSet

from sfm.errors import InputError

VALUES = {"photos": "/a b/photos", "out": "/out", "threads": "2", "seed": "7"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "engines.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def engine(tmp_path: Path, code: str, **more: object):
    entry = {"name": "mine", "command": [sys.executable, "-c", code, "{photos}", "{out}"], **more}
    return read_engines(written(tmp_path, json.dumps({"engines": [entry]})))[0]


@pytest.fixture
def photo_set(tmp_path: Path) -> PhotoSet:
    """A model's photos, empty files all, and its poses as the truth."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 5, 1, 1
    options.camera_has_prior_focal_length = True
    model = pycolmap.synthesize_dataset(options)
    (tmp_path / "given").mkdir()
    model.write_binary(tmp_path / "given")
    photos = tmp_path / "set"
    photos.mkdir()
    poses = {}
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        (photos / image.name).parent.mkdir(parents=True, exist_ok=True)
        (photos / image.name).with_suffix(".png").touch()
        pose = image.cam_from_world()
        matrix, shift = pose.rotation.matrix().tolist(), pose.translation.tolist()
        poses[image.name] = {"R_cw": matrix, "t_cw": shift}
    (tmp_path / "gt.json").write_text(json.dumps({"images": poses}))
    return PhotoSet("set", photos, tmp_path / "gt.json")


def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "cache", 2, 30.0)


def copying(tmp_path: Path) -> str:
    return f"import shutil, sys; shutil.copytree({str(tmp_path / 'given')!r}, sys.argv[2] + '/sparse/0')"


def test_the_example_is_valid() -> None:
    assert [e.name for e in read_engines(BENCH / "engines.example.yaml")] == ["sfm.fast"]


def test_placeholders_are_put_in_and_no_shell_reads_them(tmp_path: Path) -> None:
    text = """
engines:
  - {name: x, command: [run, "--in={photos}", "{out}", "; rm -rf {seed}", '{"json": 1}'],
     env: {N: "{threads}"}}
"""

    command, environment = filled_command(read_engines(written(tmp_path, text))[0], VALUES)

    assert command == ("run", "--in=/a b/photos", "/out", "; rm -rf 7", '{"json": 1}')
    assert environment == {"N": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engines: [{name: x, command: [run]}]", r"engines\[0\] \(x\): neither command nor env names"),
        ("engines: [{name: x, command: [run, '{out}', '{image}']}]", "unknown placeholder {image}"),
        ("engines: [{name: ours, command: [run, '{out}']}]", "the name is taken"),
        ("engines: [{name: a-b, command: ['{out}']}]", "letters, digits"),
        (
            "engines: [{name: x, command: 'run {out}'}]",
            r"command: a list is expected, as \[first, second\], found 'run {out}'",
        ),
        ("engines: [{name: x, command: []}]", "the command is empty"),
        ("engines: [{name: x, command: ['{out}'], model: ../y}]", "a path below"),
        ("engines: [{name: x, command: ['{out}'], time_limit_s: 0}]", "positive"),
        ("engines: [{name: x, comand: ['{out}']}]", r"engines\[0\]\.comand: Unexpected"),
        ("engines: [{command: ['{out}']}]", r"engines\[0\]\.name: .*required"),
        ("engines: [", "is no YAML"),
        ("- 1", r"the file: keys with values are expected, found \[1\]"),
        ("", "the file: keys with values are expected, found nothing"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(InputError, match=message) as error:
        read_engines(path, taken=("ours",))

    assert str(path) in str(error.value)


def test_a_model_of_another_engine_is_scored(tmp_path: Path, photo_set: PhotoSet) -> None:
    mine = engine(tmp_path, copying(tmp_path), model="sparse")

    (row,) = rows_of([run_job(Job(photo_set, "mine", OWN, 0, mine), settings(tmp_path))])

    assert (row.status, row.photos, row.registered, row.models) == ("ok", 5, 5, (5,))
    assert row.auc1 == pytest.approx(100, abs=1e-3)
    assert row.curve[0] == 100
    assert row.pairs is None
    assert row.agreement is None
    assert row.num_points == 100
    assert row.track_length == pytest.approx(5)
    assert row.reprojection_px == pytest.approx(0, abs=1e-6)
    assert (row.rra15, row.colmap_auc1) == (100, pytest.approx(100, abs=1e-3))
    assert row.ate_frobenius == pytest.approx(row.ate_normalised / 5**0.5)


@pytest.mark.parametrize(
    ("code", "more", "status"),
    [
        ("raise SystemExit('no licence')", {}, "exit 1: no licence"),
        ("import time; time.sleep(60)", {"time_limit_s": 0.5}, "stopped after "),
        ("x = bytearray(400_000_000); import time; time.sleep(60)", {"memory_limit_gb": 0.2}, "stopped at "),
        ("pass", {"model": "sparse"}, "no model"),
    ],
)
def test_a_failure_is_a_row_with_its_reason(
    tmp_path: Path, photo_set: PhotoSet, code: str, more: dict[str, object], status: str
) -> None:
    job = Job(photo_set, "mine", OWN, 0, engine(tmp_path, code, **more))

    (row,) = rows_of([run_job(job, settings(tmp_path))])

    assert row.status.startswith(status)
    assert (row.photos, row.registered) == (5, 0)
    assert row.auc5 == 0.0


def test_a_missing_model_is_told_with_its_place_and_log(tmp_path: Path, photo_set: PhotoSet) -> None:
    job = Job(photo_set, "mine", OWN, 0, engine(tmp_path, "pass", model="sparse"))

    (row,) = rows_of([run_job(job, settings(tmp_path))])

    assert re.fullmatch(
        r"no model: CACHE/runs/set-mine-own-0/\w+/out/sparse holds no COLMAP model;"
        r" its output: CACHE/runs/set-mine-own-0/\w+/log",
        row.status,
    )


@pytest.mark.parametrize("name", ["images.bin", "points3D.bin"])
def test_a_damaged_model_is_told_with_its_file(tmp_path: Path, photo_set: PhotoSet, name: str) -> None:
    code = f"{copying(tmp_path)}; p = sys.argv[2] + '/sparse/0/{name}'; d = open(p, 'rb').read()"
    code += "; open(p, 'wb').write(d[:len(d) // 2])"
    job = Job(photo_set, "mine", OWN, 0, engine(tmp_path, code, model="sparse"))

    (row,) = rows_of([run_job(job, settings(tmp_path))])

    assert f"out/sparse/0/{name}" in row.status
    assert str(tmp_path) not in row.status


def test_names_that_the_truth_does_not_know_are_told(tmp_path: Path, photo_set: PhotoSet) -> None:
    truth = json.loads((tmp_path / "gt.json").read_text())
    renamed = {f"x/{i}.jpg": pose for i, pose in enumerate(truth["images"].values())}
    (tmp_path / "gt.json").write_text(json.dumps({"images": renamed}))
    job = Job(photo_set, "mine", OWN, 0, engine(tmp_path, copying(tmp_path), model="sparse"))

    (row,) = rows_of([run_job(job, settings(tmp_path))])

    assert "no photo in common" in row.status


def test_all_pairs_of_a_large_set_are_left_out(tmp_path: Path) -> None:
    large = PhotoSet("bonsai292", tmp_path, None)

    jobs = list(jobs_of(large, ("ours", "global"), ("exhaustive", "vocabulary"), (), 0))

    assert [(job.engine, job.choice) for job in jobs] == [("ours", OWN), ("global", "vocabulary")]
