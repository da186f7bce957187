"""The peer runner: processes that fail or hang become rows, medians are right, results are kept."""

import json
import os
import re
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import peers
import pycolmap
import pytest
from engines import databases, peer_database, runs
from engines.runs import Job
from engines.settings import Settings
from harness import process_tree
from harness.measured import Measured, run_measured
from metrics.rows import CURVE_STEPS, Row, accuracy, measured_when, median_rows
from photo_sets.sets import PhotoSet, find_set

from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.types import Collection


def python(code: str, tmp_path, limit: float = 60.0, memory_mb: float | None = None):
    command = [sys.executable, "-c", code]
    return run_measured(command, log=tmp_path / "log", time_limit_s=limit, memory_limit_mb=memory_mb)


def test_a_process_is_measured(tmp_path):
    found = python("x = bytearray(80_000_000); sum(range(3_000_000)); print('done')", tmp_path)

    assert found.failure == ""
    assert found.tail.strip() == "done"
    assert found.peak_memory_mb > 80
    assert found.cpu_seconds > 0
    assert 0 < found.seconds < 60


def test_a_process_that_hangs_is_stopped_with_its_children(tmp_path):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(100)'])"

    found = python(code, tmp_path, limit=1.0)

    assert found.timed_out
    assert found.failure == "stopped after 1 s"
    assert found.seconds < 20


def test_whoever_is_stopped_takes_the_running_process_along(tmp_path):
    def leave(*_):
        raise SystemExit(143)

    before = signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    try:
        with pytest.raises(SystemExit):
            python(code, tmp_path)
    finally:
        signal.signal(signal.SIGALRM, before)

    child = int((tmp_path / "log").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_memory_is_that_of_all_that_was_started(tmp_path):
    child = "import time; x = bytearray(90_000_000); time.sleep(0.6)"
    code = f"import subprocess, sys; [p.wait() for p in [subprocess.Popen([sys.executable, '-c', {child!r}])"
    code += " for _ in range(2)]]"

    assert python(code, tmp_path).peak_memory_mb > 180


def test_whoever_takes_too_much_memory_is_stopped_with_its_children(tmp_path):
    child = "x = bytearray(300_000_000); import time; time.sleep(100)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    found = python(code, tmp_path, memory_mb=200)

    assert found.out_of_memory
    assert not found.timed_out
    assert found.failure.startswith("stopped at ")
    assert found.seconds < 20


def test_what_a_process_leaves_behind_is_stopped(tmp_path):
    child = "import time; time.sleep(100)"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid)"

    left = int(python(code, tmp_path).tail)

    deadline = time.monotonic() + 5
    while _runs(left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(left)


def _runs(pid: int) -> bool:
    """Whether a process does anything: one that nobody has waited for yet is dead, too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_program_that_is_not_there_is_a_failure(tmp_path):
    found = run_measured(["/no/such/program"], log=tmp_path / "log", time_limit_s=1)

    assert found.failure == "exit 127: /no/such/program: No such file or directory"


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("raise SystemExit('no luck')", r"exit 1: no luck"),
        ("import os; os.abort()", r"signal 6.*"),
        # The error, and not the hint below it.
        (
            "print('error: first\\nmore\\nerror: no weights\\nhint: download'); raise SystemExit(4)",
            r"exit 4: no weights",
        ),
        # What is too long ends with a word and tells that more was said; one long word is not lost.
        (
            "raise SystemExit('photos that overlap ' * 20)",
            r"exit 1: (photos that overlap )+(photos |that )*…",
        ),
        ("raise SystemExit('/no' * 100)", r"exit 1: /no/no/no.*…"),
    ],
)
def test_a_process_that_fails_says_how(tmp_path, code, failure):
    assert re.fullmatch(failure, python(code, tmp_path).failure)


def row(engine: str = "ours", *, seed: int | None = 0, status: str = "ok", **more) -> Row:
    return Row(set="s", engine=engine, seed=seed, status=status, **more)


def test_medians_are_over_the_seeds():
    def finished(seed: int, registered: int, auc5: float, map_s: float) -> Row:
        return row(seed=seed, photos=5, registered=registered, models=(registered,), auc5=auc5, map_s=map_s)

    rows = [
        finished(0, 5, 90.0, 1.0),
        finished(1, 4, 70.0, 3.0),
        finished(2, 5, 80.0, 9.0),
        row("global", registered=2, models=(3, 2), auc5=None),
        row("global", seed=1, status="stopped after 9 s"),
    ]

    ours, peer = median_rows(rows)

    assert (ours.seed, ours.registered, ours.models, ours.auc5, ours.map_s) == (None, 5, (5,), 80.0, 3.0)
    assert (ours.spread["auc5"], ours.spread["map_s"], ours.num_seeds) == ((70.0, 90.0), (1.0, 9.0), 3)
    assert (peer.models, peer.registered, peer.auc5, peer.status) == ((), 0, None, "ok, 1 of 2 failed")
    assert peer.spread == {"registered": (0, 2)}


def test_a_failed_seed_counts_as_nothing_in_shares_and_not_at_all_in_seconds():
    shares = {"auc5": 90.0, "rra5": 80.0, "curve": (50.0,) * CURVE_STEPS}
    good = row(photos=5, registered=5, models=(5,), total_s=10.0, **shares)
    bad = row(seed=1, status="stopped after 9 s", photos=5, total_s=9.0)

    (two,) = median_rows([good, bad])
    (three,) = median_rows([bad, good, replace(bad, seed=2)])

    assert (two.auc5, two.spread["auc5"], two.total_s, two.curve[-1]) == (45.0, (0, 90.0), 10.0, 25.0)
    assert (three.auc5, three.rra5, three.registered, three.models) == (0, 0, 0, ())
    assert (three.photos, three.total_s, three.status) == (5, 10.0, "ok, 2 of 3 failed")


@pytest.mark.parametrize(
    ("engine", "options", "label", "told"),
    [
        ("ours", (), None, ""),
        ("ours", ("backend=mast3r",), None, "mast3r"),
        ("ours", ("backend=sift", "sift.upright=true"), None, "sift, sift.upright=true"),
        ("ours", ("backend=sift",), "mine", "mine"),
        ("ours", (), "before", "before"),
        ("global", ("backend=mast3r",), "mine", ""),
        ("global", ("backend=sift", "sift.upright=true"), None, "sift.upright=true"),
    ],
)
def test_what_reaches_an_engine_is_in_its_name(tmp_path, engine, options, label, told):
    job = Job(PhotoSet("s", tmp_path, None), engine, "exhaustive", 0)

    assert peers.label_of(job, options, label) == told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--option", "sift.max=3"], "--option: .*'sift.max=3': unknown option"),
        (["--option", "backend"], "--option: .*expected key=value"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(tmp_path, monkeypatch, arguments, message):
    (tmp_path / "set").mkdir()
    monkeypatch.setattr(peers, "run_job", None)
    monkeypatch.setattr("sys.argv", ["peers.py", str(tmp_path / "set"), *arguments])

    with pytest.raises(SystemExit, match=message):
        peers.main()


def test_options_of_keypoints_and_cameras_reach_the_database_of_the_peers(tmp_path, monkeypatch):
    asked = []

    def made(command, *_):
        asked.append(command)
        return Measured(1.0, 1.0, 1.0, 0, False, "{}")

    monkeypatch.setattr(databases, "run_python", made)
    options = (
        "sift.upright=true",
        "colmap.incremental_mapper.filter_max_reproj_error=3.0",
        "images.camera_model=PINHOLE",
        "images.masks=m",
    )

    databases.prepared_database(PhotoSet("s", tmp_path, None), Settings(tmp_path / "cache", 1, 1.0, options))

    told = [word for word in asked[0] if word.startswith("--option")]
    assert told == ["--option=sift.upright=true", "--option=images.camera_model=PINHOLE"]


def test_the_key_of_a_database_changes_with_its_options_only(tmp_path):
    collection = Collection(photos=(), cameras={}, skipped=())
    told = (
        [],
        ["colmap.incremental_mapper.filter_max_reproj_error=3.0"],
        ["sift.upright=true"],
        ["colmap.sift_matching.max_ratio=0.7"],
    )
    keys = [peer_database._key(collection, load_config(overrides=options), 2) for options in told]

    assert keys[0] == keys[1] == peer_database._key(collection, Config(), 2)
    assert len(set(keys)) == 3
    places = [
        peer_database._place_key(tmp_path, load_config(overrides=options), 2)
        for options in ([], ["sift.upright=true"], ["images.camera_model=PINHOLE"])
    ]
    assert places[0] == places[1] != places[2]


def test_a_peak_can_be_forgotten():
    process_tree.forget_own_peak()
    before = process_tree.own_peak_mb()

    held = bytearray(300_000_000)
    during = process_tree.own_peak_mb()
    del held
    process_tree.forget_own_peak()

    assert during > before + 250
    assert process_tree.own_peak_mb() < during - 200


def test_the_days_of_figures_are_told():
    ours = row(measured_on="2026-01-03")
    peer = replace(ours, engine="global", choice="vocabulary", described_on="2026-01-01")
    other = replace(peer, measured_on="2026-01-04", described_on=None, matched_on=None)

    assert measured_when([ours]) == "runs on 2026-01-03"
    assert measured_when([ours, peer, other]) == (
        "runs from 2026-01-03 to 2026-01-04; photos described for COLMAP's mappers on 2026-01-01,"
        " some at a time not recorded; their pairs matched at a time not recorded"
    )
    assert measured_when([replace(ours, skipped=True)]) == ""
    assert measured_when([replace(peer, match_s=None, described_on=None)]) == "runs on 2026-01-03"


def test_a_row_outlives_its_file():
    kept = row(models=(3, 2), curve=(1.0, 2.0))
    stored = json.loads(json.dumps({**asdict(kept), "a_later_figure": 1}))

    assert Row.read(stored) == kept


def test_sets_are_found_by_name_or_path_with_their_truth(tmp_path):
    (tmp_path / "a" / "images").mkdir(parents=True)
    (tmp_path / "a" / "reference.json").write_text("{}")
    (tmp_path / "plain").mkdir()

    named, plain = find_set("a", tmp_path), find_set(str(tmp_path / "plain"), tmp_path)

    assert named.photos == tmp_path / "a" / "images"
    assert named.truth is not None
    assert not named.truth_is_measured
    assert (plain.photos, plain.truth) == (tmp_path / "plain", None)
    with pytest.raises(FileNotFoundError, match="no photo set 'b'"):
        find_set("b", tmp_path)


def test_the_key_of_a_set_follows_its_content(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"1")
    before = find_set(str(tmp_path), tmp_path).content_key()

    (tmp_path / "1.jpg").write_bytes(b"2")

    assert find_set(str(tmp_path), tmp_path).content_key() != before


def test_models_of_two_photos_do_not_score(tmp_path):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs = 2
    options.num_cameras_per_rig = options.num_frames_per_rig = 1
    model = pycolmap.synthesize_dataset(options)
    (tmp_path / "0").mkdir()
    model.write_binary(tmp_path / "0")
    entry = {"R_cw": np.eye(3).tolist(), "t_cw": [0, 0, 0]}
    names = [model.image(i).name for i in model.reg_image_ids()]
    (tmp_path / "gt.json").write_text(json.dumps({"images": dict.fromkeys(names, entry)}))

    assert accuracy(tmp_path, tmp_path / "gt.json").auc5 == 0.0
    assert accuracy(tmp_path / "nowhere", tmp_path / "gt.json").auc5 == 0.0
    assert accuracy(tmp_path, None).auc5 is None


@pytest.mark.slow
@pytest.mark.shared
def test_a_comparison_is_kept_and_a_broken_set_is_a_row(shared_data, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no photo")
    out = tmp_path / "peers.json"
    places = ["--data", str(shared_data), "--cache", str(tmp_path / "cache"), "--out", str(out)]
    what = ["--seeds", "1", "--mappers", "incremental", "--threads", "2"]
    arguments = ["peers.py", "Herz-Jesus-P8", str(tmp_path / "broken"), *places, *what]
    monkeypatch.setattr("sys.argv", arguments)

    peers.main()
    first = json.loads(out.read_text())["rows"]
    monkeypatch.setattr(runs, "_run_peer", None)  # a second run has nothing to do
    peers.main()

    assert first[0]["registered"] == 8
    assert first[0]["auc5"] > 90
    assert first[1]["status"].startswith("exit 1")
    assert json.loads(out.read_text())["rows"] == first
    assert "Herz-Jesus-P8" in capsys.readouterr().out
