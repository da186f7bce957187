"""The documents' commands for ETH3D and Tanks and Temples work as they stand there, on both layouts."""

import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import peers
import pytest
from engines.runs import Job, Run
from engines.settings import Settings
from harness.stored_runs import Facts
from photo_sets import Dataset, registry
from photo_sets.lists import scene_list
from photo_sets.registry import listed_scenes

from sfm.evaluation import load_ground_truth
from tests.tools import fabricate

ROOT = Path(__file__).resolve().parents[2]
BENCHES = ROOT / "tools" / "bench" / "README.md"


def commands() -> list[list[str]]:
    """Words of each, from the check of the folder to the page with both backends."""
    text = BENCHES.read_text(encoding="utf-8")
    part = text[text.index("With ETH3D and Tanks and Temples") : text.index("A failure is tried again")]
    check = re.findall(r"`(python tools/bench/datasets\.py [^`]+)`", part)
    blocks = re.findall(r"^    (python (?:.*\\\n)*.*)$", part, flags=re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " ")) for command in check + blocks]


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch) -> Path:
    """A few scenes of each group that the commands name; the others are taken off the lists."""
    root = tmp_path / "datasets"
    for scene in ("pipes", "meadow"):
        fabricate.eth3d(root, scene, scene_list("eth3d").scenes[scene].num_photos)
    for scene in ("Horse", "Family"):
        fabricate.tanks_and_temples(root, scene, scene_list("tanks_and_temples").scenes[scene].num_photos)

    def there(dataset: Dataset, group: str) -> tuple[str, ...]:
        return tuple(s for s in listed_scenes(dataset, group) if (root / dataset.folder / s).is_dir())

    monkeypatch.setattr(registry, "listed_scenes", there)
    return root


@pytest.fixture
def run(monkeypatch, tmp_path: Path, datasets: Path):
    """Run a command of the document in an empty folder; runs are models with the true poses."""

    def run_job(job: Job, settings: Settings, **_: object) -> Run:
        folder = tmp_path / "cache" / "runs" / job.stem / "key"
        poses = load_ground_truth(job.photo_set.truth).poses
        fabricate.colmap_text(folder / "models" / "0", poses, ["PINHOLE 64 48 50 50 32 24"])
        return Run(job, Facts(status="ok", models_at="models", photos=len(poses)), folder)

    def command(words: list[str]) -> int:
        python, script, *arguments = words
        assert python == "python"
        arguments = [str(datasets) if word == "DIR" else word for word in arguments]
        if script.endswith("peers.py"):
            arguments += ["--cache", str(tmp_path / "cache")]
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        return importlib.import_module(Path(script).stem).main() or 0

    monkeypatch.setattr(peers, "run_job", run_job)
    monkeypatch.chdir(tmp_path)
    return command


@pytest.mark.slow
def test_the_commands_for_benchmarks_give_one_page_with_both_backends(run, tmp_path):
    check, sift, sift_page, mast3r, page = commands()

    for command in (check, sift, sift_page, mast3r, page):
        assert run(command) == 0

    rows = json.loads((tmp_path / "out" / "report" / "results.json").read_text())["measured"]["rows"]
    ours = {row["variant"] for row in rows if row["engine"] == "ours"}
    assert ours == {"sift", "mast3r"}
    assert {row["engine"] for row in rows} == {"ours", "incremental", "global"}
    assert {row["set"] for row in rows} == {
        "eth3d-pipes",
        "eth3d-meadow",
        "tanks_and_temples-Horse@50",
        "tanks_and_temples-Family@50",
    }
    assert {row["seed"] for row in rows} == {0, 1, 2}
    assert all(row["status"] == "ok" for row in rows)
    listed = (tmp_path / "out" / "tanks_and_temples-Horse@50-photos.txt").read_text().split()
    assert len(listed) == 50
    assert (tmp_path / "out" / "report" / "index.html").is_file()
    assert (tmp_path / "out" / "report-sift" / "index.html").is_file()


@pytest.mark.parametrize("document", ["README.md", "docs/results.md", "tools/bench/README.md"])
def test_the_commands_write_where_git_does_not_look(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")

    written = re.findall(r"tools/bench/.*?--out (\S+)", text.replace("\\\n", " "))

    assert written
    assert all(path.startswith("out/") for path in written)
    assert "/out/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("document", ["README.md", "docs/results.md", "tools/bench/README.md"])
def test_the_programs_know_the_options_that_the_commands_name(document: str, monkeypatch, capsys) -> None:
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")

    commands = re.findall(r"^    python tools/(?:bench/)?(\w+)\.py (.*)$", text, flags=re.MULTILINE)

    assert commands
    for program, arguments in commands:
        monkeypatch.setattr(sys, "argv", [program, "--help"])
        with pytest.raises(SystemExit):
            importlib.import_module(program).main()
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"(?<!\S)--[a-z-]+", arguments.partition("#")[0])) <= known, arguments
