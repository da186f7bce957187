"""Runs of our engine with either backend."""

import importlib
import json
import os
from pathlib import Path

import pytest
import torch
from engines import runs
from engines.our_backend import OurBackend, our_backend
from engines.runs import OWN, Job, run_job
from engines.settings import Settings, settings_from
from harness.measured import Measured
from photo_sets.sets import PhotoSet

from sfm.mast3r.weights.weights import OFFICIAL_FILES

GPU = "a GPU"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch) -> Path:
    """The weights folder, empty, on a machine without a GPU."""
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def fetched(weights: Path, index: int = 0) -> None:
    (weights / OFFICIAL_FILES[index].name).write_bytes(b"weights")


def given_gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: GPU)


def test_auto_is_what_a_run_would_take(weights, monkeypatch):
    assert our_backend(()) == OurBackend("sift", "cpu")
    fetched(weights)
    assert our_backend(()) == OurBackend("sift", "cpu")
    given_gpu(monkeypatch)
    found = our_backend(())
    assert (found.name, found.device) == ("mast3r", GPU)
    assert our_backend(("backend=sift",)) == OurBackend("sift", "cpu")


def test_weights_that_come_later_or_change_are_another_backend(weights):
    options = ("backend=mast3r", "mast3r.device=cpu")
    found = [our_backend(options)]
    fetched(weights)
    found.append(our_backend(options))
    fetched(weights, 2)
    found.append(our_backend(options))
    os.utime(weights / OFFICIAL_FILES[0].name, ns=(1, 1))
    found.append(our_backend(options))

    assert len(set(found)) == 4
    assert {backend.device for backend in found} == {"cpu"}
    assert our_backend(options) == found[-1]


def test_what_a_run_would_refuse_is_left_to_it(weights):
    file = weights / "file"
    file.touch()

    assert our_backend(("backend=mast3r", "mast3r.device=cuda")).device == "none"
    assert our_backend((f"mast3r.weights_dir={file}",)).name == "sift"
    assert our_backend(("backend=mast3r", f"mast3r.weights_dir={file}")).name == "mast3r"


def ours(tmp_path: Path) -> Job:
    photos = tmp_path / "photos"
    photos.mkdir(exist_ok=True)
    (photos / "a.jpg").touch()
    return Job(PhotoSet("set", photos, None), "ours", OWN, 0)


def settings(tmp_path: Path, *options: str, retry_failed: bool = False) -> Settings:
    return Settings(tmp_path / "cache", 1, 30.0, options, retry_failed=retry_failed)


def ending(monkeypatch, exit_code: int) -> list[list[str]]:
    """Commands that were run in vain."""
    commands: list[list[str]] = []

    def run_python(command, *_):
        commands.append(command)
        return Measured(1.0, 1.0, 1.0, exit_code, False, "error: no luck\nhint: none")

    monkeypatch.setattr(runs, "run_python", run_python)
    return commands


def test_the_key_of_sift_is_that_of_any_machine_and_that_of_the_network_of_its_own(
    tmp_path, weights, monkeypatch
):
    job, options = ours(tmp_path), settings(tmp_path, "backend=auto")
    keys = [runs._key(job, options)]
    given_gpu(monkeypatch)
    keys.append(runs._key(job, options))
    fetched(weights)
    keys.append(runs._key(job, options))

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(("exit_code", "tries"), [(2, 2), (4, 2), (5, 2), (3, 1), (6, 1)])
def test_what_the_machine_lacked_is_tried_again_every_time(exit_code, tries, tmp_path, weights, monkeypatch):
    commands = ending(monkeypatch, exit_code)

    found = [run_job(ours(tmp_path), settings(tmp_path)).facts for _ in range(2)]

    assert len(commands) == tries
    assert {(facts.status, facts.backend, facts.device) for facts in found} == {
        (f"exit {exit_code}: no luck", "sift", "cpu")
    }


def test_a_finished_run_says_which_backend_it_had(tmp_path, weights, monkeypatch):
    record = {
        "stages": [],
        "models": [],
        "message": "none",
        "backend": "mast3r",
        "photos": {"readable": 1},
        "pairs": {"matched": 0, "fraction": 0.0},
    }

    def run_python(command, _, log):
        out = log.parent / "out"
        out.mkdir()
        (out / "run.json").write_text(json.dumps(record))
        return Measured(1.0, 1.0, 1.0, 0, False, "")

    monkeypatch.setattr(runs, "run_python", run_python)
    fetched(weights)
    given_gpu(monkeypatch)

    facts = run_job(ours(tmp_path), settings(tmp_path)).facts

    assert (facts.backend, facts.device) == ("mast3r", GPU)


@pytest.mark.parametrize("bench", ["peers", "mapper"])
def test_every_bench_that_keeps_runs_can_try_failures_again(bench, monkeypatch):
    module = importlib.import_module(bench)
    monkeypatch.setattr("sys.argv", [f"{bench}.py", "set", "--retry-failed"])

    assert settings_from(module._parse()).retry_failed
    monkeypatch.setattr("sys.argv", [f"{bench}.py", "set"])
    assert not settings_from(module._parse()).retry_failed
