"""What the benches' command lines ask for, tell and refuse."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import peers
import pytest
import torch
from engines import settings
from engines.runs import Run
from harness import result_file
from harness.arguments import chosen_from
from harness.stored_runs import Facts

BENCHES = ["peers", "mapper"]


@pytest.fixture
def ended(monkeypatch, capsys):
    """Run a bench in which nothing may be measured; how it ended and what it said."""

    def nothing(*_: object, **__: object) -> None:
        raise AssertionError("something was measured")

    def run(bench: str, *arguments: object) -> tuple[object, str]:
        monkeypatch.setattr(settings, "run_measured", nothing)
        monkeypatch.setattr(sys, "argv", [f"{bench}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            importlib.import_module(bench).main()
        captured = capsys.readouterr()
        return end.value.code, captured.err + str(end.value.code)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.jpg").touch()
    return folder


@pytest.mark.parametrize("bench", BENCHES)
def test_a_result_that_cannot_be_written_is_told_first(bench, ended, photos, tmp_path):
    (tmp_path / "file").touch()

    for out, message in [
        (tmp_path, f"{tmp_path} is a folder; name a file, as {tmp_path / 'results.json'}"),
        (tmp_path / "file" / "below" / "r.json", f"cannot be made: {tmp_path / 'file'} is a file"),
        ("/dev/null", "/dev/null is no ordinary file"),
    ]:
        code, text = ended(bench, photos, "--out", out)
        assert code == 2
        assert "argument --out: " in text
        assert message in text


@pytest.mark.parametrize("bench", BENCHES)
def test_a_store_that_cannot_be_made_is_told_first(bench, ended, photos, tmp_path):
    (tmp_path / "file").touch()

    for cache, message in [
        (tmp_path / "file", f"{tmp_path / 'file'} is a file; name a folder"),
        (tmp_path / "file" / "below", f"cannot be made: {tmp_path / 'file'} is a file"),
    ]:
        code, text = ended(bench, photos, "--cache", cache)
        assert code == 2
        assert "argument --cache" in text
        assert message in text


@pytest.mark.parametrize("bench", ["peers", "mapper"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--threads", "0"),
        ("--threads", "-2"),
        ("--threads", "many"),
        ("--seeds", "0"),
        ("--time-limit", "-1"),
        ("--time-limit", "nan"),
        ("--memory-limit", "0"),
        ("--memory-limit", "-1"),
        ("--memory-limit", "inf"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(bench, arguments, ended, photos):
    code, text = ended(bench, photos, *arguments)

    assert code == 2
    assert re.search(rf"argument {arguments[0]}: .* is needed, found '{arguments[1]}'", text)


@pytest.mark.parametrize(
    ("names", "message"),
    [("", "a name is missing in ''"), ("ours,", "a name is missing in 'ours,'"), ("x", "unknown x; choose")],
)
def test_engines_are_chosen_by_names_that_are_there(names, message, ended, photos):
    code, text = ended("peers", photos, "--mappers", names)

    assert code == 2
    assert f"argument --mappers: {message}" in text


def test_an_engine_that_is_named_twice_runs_once():
    assert chosen_from(("a", "b"))("b, a,b") == ("b", "a")


def test_all_sets_of_a_folder_without_any_are_an_error(ended, tmp_path):
    code, text = ended("peers", "--all", "--data", tmp_path)

    assert code == 2
    assert f"--data: {tmp_path} holds no set" in text


def test_a_folder_without_photos_is_named(ended, tmp_path):
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "images" / "notes.txt").touch()

    code, _ = ended("peers", "empty", "--data", tmp_path, "--cache", tmp_path / "cache")

    assert code.startswith(f"error: {tmp_path / 'empty' / 'images'} holds no photos")


def _peers(monkeypatch, tmp_path: Path, photos: Path, run_job) -> int:
    arguments = [str(photos), "--mappers", "ours,global", "--seeds", "1", "--threads", "1"]
    arguments += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out" / "r.json")]
    monkeypatch.setattr(peers, "run_job", run_job)
    monkeypatch.setattr(sys, "argv", ["peers.py", *arguments])
    return peers.main()


@pytest.mark.parametrize(("failing", "code"), [({"ours"}, 0), ({"ours", "global"}, 1)])
def test_the_command_fails_where_every_run_has(failing, code, monkeypatch, tmp_path, photos):
    def run_job(job, settings, **_):
        status = "no luck" if job.engine in failing else "ok"
        return Run(job, Facts(status=status), tmp_path / "cache" / "runs" / "stem" / "key")

    monkeypatch.setattr(peers, "found_models", lambda _: peers.FoundModels())

    assert _peers(monkeypatch, tmp_path, photos, run_job) == code


def test_whoever_interrupts_is_told_what_is_kept(monkeypatch, capsys, tmp_path, photos):
    def run_job(job, settings, **_):
        raise KeyboardInterrupt

    assert _peers(monkeypatch, tmp_path, photos, run_job) == 130
    said = capsys.readouterr().err
    assert f"interrupted; finished runs are kept in {tmp_path / 'cache' / 'runs'}" in said
    assert "Traceback" not in said


def test_a_result_that_can_no_longer_be_written_is_told_without_a_traceback(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(SystemExit, match=r"r\.json cannot be written: .*finished runs are kept"):
        result_file.write_results(tmp_path / "file" / "r.json", [], [], bench="peers", threads=1, options=())


def test_files_beside_the_source_do_not_mark_its_commit(tmp_path, monkeypatch):
    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(result_file, "ROOT", tmp_path)
    (tmp_path / "code.py").write_text("1")
    git("init")
    git("add", "code.py")
    git("commit", "-m", "first")
    (tmp_path / "results.json").write_text(json.dumps({}))

    clean = result_file._commit()
    (tmp_path / "code.py").write_text("2")

    assert re.fullmatch(r"[0-9a-f]+", clean)
    assert result_file._commit() == f"{clean}+"


def run(monkeypatch, capsys, bench: str, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", [f"{bench}.py", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        importlib.import_module(bench).main()
    captured = capsys.readouterr()
    return end.value.code, captured.out + captured.err


def test_help_tells_groups_subsets_folders_and_defaults(monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, "peers", "--help")

    assert code == 0
    for words in ("eth3d:training", "Barn@50", "@FILE", "@DIR", "$LOOPSFM_DATASETS", "(default: "):
        assert words in text
    assert "{sets}" not in text
    assert "SET-photos.txt" in text


def test_benches_name_the_set_that_is_not_there(monkeypatch, capsys, tmp_path):
    code, _ = run(monkeypatch, capsys, "peers", "eth3d:training", "--datasets", str(tmp_path))

    assert str(tmp_path / "eth3d") in code
    assert "get it from https://www.eth3d.net" in code


BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


def test_programs_without_cases_are_no_fixtures() -> None:
    command = [sys.executable, str(BENCH), "parity.compare", "nowhere", "--only"]
    for name, code in (("rope", 1), ("aliked", 2), ("recipe", 2)):
        done = subprocess.run([*command, name], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_one_line() -> None:
    command = [sys.executable, str(BENCH), "parity.compare", "nowhere", "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    assert "no device cuda here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout
