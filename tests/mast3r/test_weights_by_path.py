"""A network is used from where the user or the hub's own tools have put it, and nothing is written there."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from sfm.cli import main
from sfm.config.schema import Mast3rConfig
from sfm.errors import WeightsError
from sfm.mast3r.weights.weights import OFFICIAL_FILES, Origin, find_weights, given_weights, weights_folder
from sfm.mast3r.weights.weights_store import WeightsStore
from sfm.matching.dense.availability import why_not
from sfm.matching.dense.inference.predictors import open_predictor
from sfm.pipelines.doctor import State, doctor
from tools.write_checkpoint import (
    TINY,
    write_network,
    write_retrieval_head,
)

from .checkpoint_files import small_state

NETWORK, RETRIEVAL, CODEBOOK = OFFICIAL_FILES
REPOSITORY = f"models--{NETWORK.hub_id.replace('/', '--')}"
NEWER, OLDER = "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder and a hub's cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.delenv("LOOPSFM_WEIGHTS", raising=False)
    return tmp_path


def link(original: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.hardlink_to(original)
    return path


def fetched(cache: Path, originals: Path, revision: str = NEWER) -> Path:
    """What `from_pretrained` leaves: blobs by checksum, links to them in a snapshot, and which is `main`."""
    repository = cache / REPOSITORY
    snapshot = repository / "snapshots" / revision
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(NEWER)
    snapshot.mkdir(parents=True)
    for name in ("model.safetensors", "config.json"):
        content = hashlib.sha256((originals / "hub" / name).read_bytes()).hexdigest()
        blob = repository / "blobs" / (content if name == "model.safetensors" else content[:40])
        if not blob.exists():
            link(originals / "hub" / name, blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob.name))
    return snapshot


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def sfm(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["weights", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def opened(weights: str | None = None) -> str:
    """Identity of the network that a run with this option uses."""
    assert "weights not found" not in why_not(Mast3rConfig(weights=weights))
    return WeightsStore(weights_folder(), given_weights(weights)).network().key


@pytest.mark.parametrize(
    "lay",
    [
        lambda at, o: link(o / NETWORK.name, at / "my own.pth"),
        lambda at, o: link(o / NETWORK.name, at / NETWORK.name).parent,
        lambda at, o: [link(o / "hub" / n, at / n) for n in ("config.json", "model.safetensors")][1],
        lambda at, o: [link(o / "hub" / n, at / n) for n in ("config.json", "model.safetensors")][1].parent,
        lambda at, o: (
            link(o / "hub" / "config.json", at / "config.json"),
            link(o / "hub" / "model.safetensors", at / "ours.safetensors"),
        )[1],
        fetched,
        lambda at, o: fetched(at, o).parent.parent,
        lambda at, o: fetched(at, o) / "model.safetensors",
    ],
    ids=["pth", "official", "safetensors", "folder", "other name", "snapshot", "repository", "blob"],
)
def test_a_network_by_its_path(
    lay: Callable[[Path, Path], Path], originals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = lay(tmp_path / "given", originals)
    before = everything_in(tmp_path / "given")

    first, second = opened(weights=str(given)), opened(weights=str(given))

    assert first == second
    assert everything_in(tmp_path / "given") == before
    assert "is not the pinned one" in caplog.text
    listed = json.loads(sfm("--json", f"mast3r.weights={given}"))["files"][0]
    assert listed["origin"] == "mast3r.weights"
    assert Path(listed["path"]).is_relative_to(tmp_path / "given")


def test_what_is_given_comes_first_and_may_change(
    originals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link(originals / NETWORK.name, weights_folder() / NETWORK.name)
    given = tmp_path / "given.pth"
    changed = {**small_state(), "enc_norm.bias": small_state()["enc_norm.bias"] + 1}
    write_network(given, TINY, changed)
    pinned = opened()
    caplog.clear()

    assert opened(weights=str(given)) != pinned
    assert f"is not the pinned one of {NETWORK.name}" in caplog.text
    given.unlink()
    given.write_bytes((originals / NETWORK.name).read_bytes())
    caplog.clear()
    assert opened(weights=str(given)) == pinned
    assert "pinned" not in caplog.text
    assert opened() == pinned


def test_retrieval_is_looked_for_beside_it_and_then_in_the_weights_folder(
    originals: Path, tmp_path: Path
) -> None:
    given = link(originals / NETWORK.name, tmp_path / "given" / "n.pth")
    for file in (RETRIEVAL, CODEBOOK):
        link(originals / file.name, weights_folder() / file.name)

    network, retrieval, codebook = find_weights(weights_folder(), given)
    assert (network.path, network.origin) == (given, Origin.OPTION)
    assert (retrieval.path, retrieval.origin) == (weights_folder() / RETRIEVAL.name, Origin.FOLDER)
    assert codebook.origin is Origin.FOLDER
    assert open_predictor(Mast3rConfig(weights=str(given), device="cpu")).codebook_key

    link(originals / RETRIEVAL.name, given.parent / RETRIEVAL.name)
    assert find_weights(weights_folder(), given)[1].origin is Origin.OPTION
    assert find_weights(weights_folder())[0].path is None


def test_a_head_for_the_official_network_is_left_out_with_another(
    originals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = link(originals / NETWORK.name, tmp_path / "given" / "n.pth")
    weights_folder().mkdir(parents=True)
    write_retrieval_head(weights_folder() / RETRIEVAL.name, 1024)

    loaded = open_predictor(Mast3rConfig(weights=str(given), device="cpu"))

    assert not loaded.head_key
    assert "length of tokens is 1024" in caplog.text
    assert "left out" in caplog.text
    write_retrieval_head(given.parent / RETRIEVAL.name, 1024)
    with pytest.raises(WeightsError, match="length of tokens is 1024"):
        open_predictor(Mast3rConfig(weights=str(given), device="cpu"))


def test_what_the_hubs_tools_have_fetched_is_found(originals: Path, home: Path) -> None:
    place = home / "hf"
    fetched(place, originals, OLDER)
    snapshot = fetched(place, originals)
    before = everything_in(place)

    opened()

    assert everything_in(place) == before
    found = find_weights(weights_folder())[0]
    assert (found.path, found.origin) == (snapshot / "model.safetensors", Origin.HUB_CACHE)
    assert "in the hub's cache" in sfm()
    assert str(snapshot / "model.safetensors") in sfm()
    (row,) = [row for row in doctor().rows if row.name == "weights"]
    assert row.state is State.NOTE  # retrieval's files are not there
    assert f"network {snapshot / 'model.safetensors'} (the hub's cache)" in row.found
    link(originals / NETWORK.name, weights_folder() / NETWORK.name)
    assert find_weights(weights_folder())[0].origin is Origin.FOLDER


def test_a_broken_cache_of_the_hub_is_none(originals: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hf" / REPOSITORY
    snapshot = fetched(repository.parent, originals)

    for text in (b"\xff../../../etc\0" * 100, b"../../../etc", b""):
        (repository / "refs" / "main").write_bytes(text)
        assert find_weights(weights_folder())[0].path is None
    (repository / "refs" / "main").write_text(NEWER)
    assert find_weights(weights_folder())[0].path == snapshot / "model.safetensors"
    assert given_weights(repository) == repository
    for broken in (snapshot / "config.json", (snapshot / "model.safetensors").resolve()):
        broken.unlink()  # as while it is being fetched, or where blobs were cleared away
        assert find_weights(weights_folder())[0].path is None
        with pytest.raises(WeightsError, match="holds no network"):
            given_weights(repository)
    shutil.rmtree(repository / "snapshots")
    (repository / "snapshots").write_text("no folder")
    assert find_weights(weights_folder())[0].path is None


def test_a_file_that_is_not_what_the_hubs_cache_calls_it_is_refused(originals: Path, tmp_path: Path) -> None:
    snapshot = fetched(tmp_path / "hf", originals)
    blob = (snapshot / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.unlink()
    blob.write_bytes(content)

    for given in (None, str(snapshot)):
        with pytest.raises(WeightsError, match="damaged: its sha256 is"):
            opened(given)


@pytest.mark.parametrize(
    ("lay", "said"),
    [
        (lambda at, o: at / "nowhere", "no such file or folder"),
        (lambda at, o: at, "holds no network"),
        (lambda at, o: link(o / RETRIEVAL.name, at / "r.pth"), "holds the retrieval head"),
        (lambda at, o: link(o / CODEBOOK.name, at / "c.pkl"), "a plain pickle"),
        (lambda at, o: link(o / "hub" / "model.safetensors", at / "m.safetensors"), r"config\.json: no such"),
        (lambda at, o: link(o / "hub" / "config.json", at / "m.safetensors"), "JSON text"),
        (lambda at, o: os.mkfifo(at / "pipe") or at / "pipe", "no such file"),
    ],
    ids=["missing", "empty", "retrieval", "codebook", "no config", "config", "pipe"],
)
def test_paths_that_are_no_network(
    lay: Callable[[Path, Path], Path], said: str, originals: Path, tmp_path: Path
) -> None:
    (tmp_path / "given").mkdir()
    given = lay(tmp_path / "given", originals)

    with pytest.raises(WeightsError, match=said) as caught:
        WeightsStore(weights_folder(), given_weights(str(given))).network()

    assert str(tmp_path / "given") in str(caught.value)
    assert not list(weights_folder().glob("*"))
