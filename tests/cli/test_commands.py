"""The command line without photos: help, arguments, messages and exit codes."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

import sfm.cli.engine
from sfm.cli import main
from sfm.cli.arguments import is_override
from sfm.cli.summary import program
from sfm.config.presets import preset_names
from sfm.errors import EXIT_INTERRUPTED, SfmError, WorkspaceError

from .command import sfm_command

_DEFERRAL = {"defer", "trust"}
HEAVY = ("torch", "pycolmap", "faiss", "scipy", "networkx", "numpy", "PIL", "pydantic", "rich")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An existing folder, the current one being its parent; tracebacks of bugs are written beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every command that computes fail with `error` once its arguments are understood."""

    def fail(*_: object) -> object:
        raise error

    monkeypatch.setattr(sfm.cli.engine, "photos_and_config", fail)


def test_help_imports_nothing_heavy() -> None:
    calls = ["--help"], ["run", "--help"], ["retrieve", "--help"], ["graph", "--help"], ["--version"]
    code = (
        "import sys; from sfm.cli import main\n"
        f"for words in {calls!r}: main(words, standalone_mode=False)\n"
        f"sys.exit('imported ' + ', '.join(m for m in {HEAVY!r} if m in sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stderr.strip() == "imported"


def test_help_names_commands_presets_and_exit_codes() -> None:
    text = sfm_command("--help").output

    for command in main.commands:
        assert f"\n  {command}  " in text
    for code in (0, 1, 2, 3, 4, 5, 6, 7, EXIT_INTERRUPTED):
        assert f"\n    {code} " in text
    assert all(name in sfm_command("run", "--help").output for name in preset_names())


def test_no_line_of_the_help_is_cut() -> None:
    output = sfm_command("--help").output

    assert "..." not in output.split("Commands:")[1]
    assert "_SFM_COMPLETE" in output


@pytest.mark.parametrize(
    ("arguments", "start", "offered"),
    [
        (["export", "OUT", "--to"], "ner", {"nerfstudio"}),
        (["run", "--preset"], "dr", {"drone"}),
        (["run"], "run.s", {"run.seed=", "run.s"}),
        (["map"], "register.ma", {"register.mapper=", "register.max_rounds=", "register.ma"}),
        (["config"], "register.sus", {"register.inconsistent_pairs="}),
        (["config"], "register.inconsistent_pairs=", {f"register.inconsistent_pairs={v}" for v in _DEFERRAL}),
        (["run", "register.inconsistent_pairs"], "=", _DEFERRAL),  # bash takes = for a word
        (["run", "register.inconsistent_pairs", "="], "tr", {"trust"}),
        (["export", "OUT"], "sift.up", {"sift.upright="}),
        (["config"], "retrieval.mode=seq", {"retrieval.mode=sequential"}),
    ],
)
def test_the_shell_completes_formats_and_options(arguments: list[str], start: str, offered: set[str]) -> None:
    completion = ShellComplete(main, {}, "sfm", "_SFM_COMPLETE")

    assert {item.value for item in completion.get_completions(arguments, start)} >= offered


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        (".venv/bin/sfm", ".venv/bin/sfm"),
        ("/opt/my tools/sfm", "'/opt/my tools/sfm'"),
        ("/src/sfm/__main__.py", f"{sys.executable} -m sfm"),
        ("bin/sfm", "sfm"),
        ("pytest", "sfm"),
    ],
)
def test_the_next_command_names_the_program_that_runs(
    called: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sfm").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "argv", [called])

    assert program() == typed


def test_every_expected_failure_has_its_documented_code() -> None:
    codes = {kind.exit_code for kind in SfmError.__subclasses__()}

    assert all(f"\n    {code} " in sfm_command("--help").output for code in codes)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run"], "where should the result go?"),
        (["run", "-o", "out"], "which photos? Give a folder: sfm run PHOTOS -o OUT"),
        (
            ["retrieve", "-o", "out", "--query", "a"],
            "which photos? Give a folder: sfm retrieve PHOTOS -o OUT",
        ),
        (["run", "a", "b", "-o", "out"], "one folder of photos, please; got 'a', 'b'"),
        (["run", "a", "-o", "out", "--threads", "0"], "--threads"),
        (["run", "a", "-o", "out", "--seed", "-1"], "--seed"),
        (["run", "--bogus"], "--bogus"),
        (["map", "-o", "out"], "which database?"),
        (["map", "a.db", "b.db", "-o", "out"], "one database, please"),
        (["bogus"], "bogus"),
        (["explain"], "OUT"),
    ],
)
def test_a_wrong_command_line_ends_with_2(photos: Path, arguments: list[str], reason: str) -> None:
    done = sfm_command(*arguments)

    assert done.exit_code == 2
    assert reason in done.stderr
    assert not (photos.parent / "out").exists()


@pytest.mark.parametrize("command", ["run", "retrieve", "match", "map"])
def test_a_wrong_configuration_ends_with_2_and_names_every_problem(photos: Path, command: str) -> None:
    (photos.parent / "c.yaml").write_text("sift:\n  upright: 3\nregistr: {}\n")

    done = sfm_command(command, photos, "-o", "out", "--config", "c.yaml", "retrieval.mode=foo")

    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: c.yaml:2: sift.upright: ")
    assert "c.yaml:3: registr: unknown option (did you mean 'register'?)" in done.stderr
    assert "command line 'retrieval.mode=foo': should be 'retrieval'" in done.stderr
    assert not (photos.parent / "out").exists()


def test_expected_failures_are_a_line_and_a_hint(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(WorkspaceError("out is in use", hint="wait for the other run"), monkeypatch)

    done = sfm_command("run", photos, "-o", "out")

    assert done.exit_code == 5
    assert done.stderr == "error: out is in use\nhint: wait for the other run\n"


def test_failures_are_objects_with_log_json(photos: Path) -> None:
    done = sfm_command("run", photos, "-o", "out", "--log-json", "retrieval.mode=foo")

    record = json.loads(done.stderr)
    assert done.exit_code == 2
    assert (record["event"], record["exit_code"]) == ("error", 2)
    assert record["message"].startswith("command line 'retrieval.mode=foo'")


def test_ctrl_c_says_how_to_go_on(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(KeyboardInterrupt(), monkeypatch)

    done = sfm_command("run", photos, "-o", "out")

    assert done.exit_code == EXIT_INTERRUPTED
    assert done.stderr == "interrupted; run the same command again to continue\n"


def test_ctrl_c_of_an_export_says_that_nothing_is_left(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sfm, "export", stopped)

    done = sfm_command("export", photos, "--to", "ply")

    assert (done.exit_code, done.stderr) == (EXIT_INTERRUPTED, "interrupted; no file was written\n")


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_bug_is_two_lines_and_a_traceback_in_a_file(
    is_ours: bool, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(ZeroDivisionError("bug"), monkeypatch)
    cache = photos.parent / "out" / "cache"
    cache.mkdir(parents=True)
    if is_ours:
        (cache / "workspace.json").write_text("{}")

    done = sfm_command("run", photos, "-o", "out")

    error, hint = done.stderr.splitlines()
    kept = Path(re.search(r"the traceback in (\S+\.txt)\.", hint)[1])  # type: ignore[index]
    assert done.exit_code == 1
    assert error.startswith("error: unexpected failure: ZeroDivisionError: bug (test_commands.py:")
    assert "please report it" in hint
    assert "ZeroDivisionError: bug" in kept.read_text()
    assert (kept == Path("out/cache/tracebacks.txt")) is is_ours
    kept.unlink()


def test_a_bug_shows_its_traceback_to_who_wants_to_see_all(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(ZeroDivisionError("bug"), monkeypatch)
    (photos.parent / "out" / "cache").mkdir(parents=True)

    assert "Traceback (most recent call last)" in sfm_command("run", photos, "-o", "out", "-v").stderr


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    code = "from sfm.cli import main; main(['config', '--schema'])"
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write_end)

    assert done.stderr == ""


def test_overrides_and_paths_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()

    assert is_override("retrieval.mode=pairs")
    assert is_override("photos=some folder")
    assert not is_override("a=b")
    assert not is_override("/photos/a=b")
    assert not is_override("photos")
    assert not is_override("my photos=x")


def test_the_printed_configuration_is_yaml_with_the_overrides() -> None:
    done = sfm_command("config", "--preset", "fast", "sift.upright=true")

    values = yaml.safe_load(done.stdout)
    assert done.exit_code == 0
    assert values["sift"]["upright"] is True
    assert values["sift"]["max_num_features"] == 4096
    assert "#" in done.stdout
    assert "#" not in sfm_command("config", "--no-comments").stdout


def test_options_of_comparisons_are_explained_where_asked_for() -> None:
    assert "internal.alignment.lr1" not in sfm_command("config").stdout
    assert "# internal.alignment.lr1: 0.07\n#     Learning rate" in sfm_command("config", "--internal").stdout


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("device=cpu", "did you mean 'mast3r.device'?"),
        ("lr1=0.1", "did you mean 'internal.alignment.lr1'?"),
        ("shared_intrinsics=true", "here it is images.camera_sharing=single"),
        ("min_conf_thr=3", "here it is --min-confidence of `sfm export --to views`"),
    ],
)
def test_options_of_the_published_demo_are_found(word: str, said: str) -> None:
    assert said in sfm_command("config", word).stderr


def test_the_printed_configuration_can_be_used(photos: Path) -> None:
    (photos.parent / "c.yaml").write_text(sfm_command("config", "sift.upright=true").stdout)

    assert "which photos?" in sfm_command("run", "-o", "out", "--config", "c.yaml").stderr


def test_the_schema_is_json() -> None:
    assert json.loads(sfm_command("config", "--schema").stdout)["type"] == "object"
