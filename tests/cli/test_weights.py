"""`sfm weights` lists, fetches and accepts."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sfm.cli import main
from sfm.mast3r.weights import weights
from sfm.mast3r.weights.weights import OFFICIAL_FILES, OfficialFile, WeightsKind
from sfm.pipelines.doctor import State, doctor
from tests.mast3r.weights_server import Behaviour, serving
from tools.write_checkpoint import write_codebook


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def behaviour(tmp_path: Path) -> Behaviour:
    numbers = np.random.default_rng(0).normal(size=(750, 1024)).astype(np.float32)
    return Behaviour(write_codebook(tmp_path / "original.pkl", numbers).read_bytes())


@pytest.fixture
def served(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Iterator[OfficialFile]:
    """The codebook alone, from a server on this machine."""
    with serving(behaviour) as address:
        url = f"{address}/codebook.pkl"
        official = OfficialFile(
            WeightsKind.CODEBOOK, "codebook.pkl", url, len(behaviour.content), schemes=("http",)
        )
        monkeypatch.setattr(weights, "OFFICIAL_FILES", (official,))
        yield official


def sfm(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["weights", *arguments], catch_exceptions=False)


def test_missing_files_with_size_address_and_place(folder: Path) -> None:
    done = sfm()

    assert done.exit_code == 0
    for official in OFFICIAL_FILES:
        assert official.url in done.stdout
        assert str(folder / official.name) in done.stdout
    assert "missing     about 2,754.6 MB" in done.stdout
    assert "naver/MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric" in done.stdout
    assert "sfm weights --download" in done.stdout
    assert "non-commercial use only" in done.stdout
    assert not folder.exists()


def test_the_folder_comes_from_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("mast3r:\n  weights_dir: there\n")

    assert str(tmp_path / "elsewhere") in sfm(f"mast3r.weights_dir={tmp_path / 'elsewhere'}").stdout
    assert str(tmp_path / "there") in sfm("--config", str(tmp_path / "c.yaml")).stdout


def test_as_json(folder: Path) -> None:
    listing = json.loads(sfm("--json").stdout)

    assert listing["folder"] == str(folder)
    assert [file["kind"] for file in listing["files"]] == ["network", "retrieval", "codebook"]
    assert not any(file["found"] for file in listing["files"])
    assert listing["files"][0]["expected_bytes"] == 2_754_555_424
    assert [(file["file"], file["licence"]) for file in listing["aliked"]] == [
        ("aliked-n16rot.pth", "BSD-3-Clause"),
        ("aliked_lightglue.pth", "Apache-2.0"),
    ]


def test_learned_matches_do_not_follow_the_folder_of_mast3r(folder: Path, tmp_path: Path) -> None:
    for folder_of_mast3r in (folder, tmp_path / "other"):
        folder_of_mast3r.mkdir()
        (folder_of_mast3r / "aliked-n16rot.pth").write_bytes(b"")

    listing = json.loads(sfm("--json", f"mast3r.weights_dir={tmp_path / 'other'}").stdout)

    assert listing["aliked"][0]["path"] == str(folder / "aliked-n16rot.pth")


def test_a_download_is_pinned(
    folder: Path, served: OfficialFile, behaviour: Behaviour, tmp_path: Path
) -> None:
    behaviour.breaks_after = [1_000_000]

    done = sfm("--download")

    assert done.exit_code == 0, done.stderr
    assert "codebook: 3 MB in" in done.stderr
    assert "codebook    found       3.1 MB" in done.stdout
    assert (folder / served.name).read_bytes() == behaviour.content
    pins = json.loads((folder / "weights.json").read_text())["files"]
    assert pins[served.name]["trusted"]

    (folder / served.name).unlink()
    other = write_codebook(tmp_path / "other.pkl", np.ones((750, 1024), np.float32))
    behaviour.content = other.read_bytes()
    done = sfm("--download", "-q")
    assert done.exit_code == 4
    assert "not the file that was used first" in done.stderr


def test_a_wanted_change_is_accepted(folder: Path, served: OfficialFile, behaviour: Behaviour) -> None:
    assert sfm("--download", "-q").exit_code == 0
    write_codebook(folder / served.name, np.zeros((3, 4), np.float32))

    done = sfm("--accept")

    assert done.exit_code == 0
    assert "codebook    found" in done.stdout


def test_a_download_that_is_no_codebook(folder: Path, served: OfficialFile, behaviour: Behaviour) -> None:
    behaviour.content = b"\x80\x04" + bytes(3_000_000)

    done = sfm("--download", "-q")

    assert done.exit_code == 4
    assert "its pickle is refused" in done.stderr


def test_offline_says_everything_that_is_to_be_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Behaviour(b"")) as address:
        pass
    files = tuple(
        OfficialFile(official.kind, official.name, f"{address}/{official.name}", 10, schemes=("http",))
        for official in OFFICIAL_FILES
    )
    monkeypatch.setattr(weights, "OFFICIAL_FILES", files)

    done = sfm("--download")

    assert done.exit_code == 4
    assert "cannot be reached" in done.stderr
    assert all(official.url in done.stderr for official in files)
    assert f"put it into {folder}" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_as_json(served: OfficialFile, behaviour: Behaviour) -> None:
    behaviour.status = 404

    done = sfm("--download", "--log-json")

    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[-1]["event"] == "error"
    assert events[-1]["exit_code"] == 4


def test_doctor_mentions_them(folder: Path, served: OfficialFile) -> None:
    (missing,) = [row for row in doctor().rows if row.name == "weights"]
    assert missing.state is State.NOTE
    assert missing.remedy == "sfm weights --download"

    assert sfm("--download", "-q").exit_code == 0

    (found,) = [row for row in doctor().rows if row.name == "weights"]
    assert found.state is State.OK
    assert str(folder) in found.found
