"""Weights are found where they should be, and pinned as first seen."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.errors import WeightsError
from sfm.mast3r.network.architecture import NetworkArchitecture
from sfm.mast3r.weights.licence import LICENCE_NOTICE
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import ALIASES, expected_shapes
from sfm.mast3r.weights.weights import (
    OFFICIAL_FILES,
    WeightsKind,
    default_folder,
    find_weights,
    weights_folder,
)
from sfm.mast3r.weights.weights_record import WeightsRecord
from sfm.mast3r.weights.weights_store import WeightsStore
from tools.write_checkpoint import (
    OFFICIAL,
    TINY,
    write_codebook,
)

NETWORK, RETRIEVAL, CODEBOOK = OFFICIAL_FILES


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOOPSFM_WEIGHTS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path, originals: Path) -> Path:
    """A weights folder with all files, links to save time."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for official in OFFICIAL_FILES:
        os.link(originals / official.name, folder / official.name)
    return folder


def replace(path: Path, content: bytes) -> None:
    """Change a file without changing what it is linked to."""
    path.unlink()
    path.write_bytes(content)


def test_where_weights_are_looked_for(tmp_path: Path, cache: Path) -> None:
    env = {"LOOPSFM_WEIGHTS": str(tmp_path / "env"), "XDG_CACHE_HOME": str(cache)}

    assert weights_folder(tmp_path / "option", env) == tmp_path / "option"
    assert weights_folder("~/w", env) == Path.home() / "w"
    assert weights_folder(None, env) == tmp_path / "env"
    assert weights_folder(None, {"XDG_CACHE_HOME": str(cache)}) == cache / "loopsfm" / "weights"
    for environ in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "not/absolute"}, {"LOOPSFM_WEIGHTS": ""}):
        assert weights_folder(None, environ) == Path.home() / ".cache" / "loopsfm" / "weights"


def test_expected_sizes_are_those_of_the_shapes() -> None:
    assert from_hub_config(OFFICIAL) == NetworkArchitecture()
    shapes = expected_shapes(NetworkArchitecture())
    numbers = sum(torch.Size(shape).numel() for name, shape in shapes.items() if name not in ALIASES)

    assert NETWORK.num_bytes == numbers * 4
    assert RETRIEVAL.num_bytes == 1024 * 1024 * 8 + 1024 * 8
    assert CODEBOOK.num_bytes == 256 << 20


def test_found_missing_and_incomplete(folder: Path) -> None:
    assert find_weights(folder)[0].path == folder / NETWORK.name
    (folder / NETWORK.name).unlink()
    (folder / f"{NETWORK.name}.0123.part").write_bytes(bytes(77))

    network, retrieval, codebook = find_weights(folder)

    assert (network.path, network.num_bytes) == (None, 77)
    assert retrieval.path == folder / RETRIEVAL.name
    assert codebook.num_bytes == (folder / CODEBOOK.name).stat().st_size
    assert find_weights(folder)[0].path is None


def test_missing_weights_say_what_to_fetch(tmp_path: Path) -> None:
    store = WeightsStore(tmp_path / "none")

    for load, official in ((store.network, NETWORK), (store.retrieval_head, RETRIEVAL)):
        with pytest.raises(WeightsError, match="weights not found") as caught:
            load()
        assert official.url in caught.value.hint
    assert not (tmp_path / "none").exists()


def test_a_network_is_checked_whole_when_it_is_new_or_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = zipfile.ZipFile.testzip
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda zip: checked.append("whole") or real(zip))
    path = folder / NETWORK.name

    first, again = WeightsStore(folder).network(), WeightsStore(folder).network()

    assert checked == ["whole"]
    assert again.architecture == first.architecture == from_hub_config(TINY)
    assert (again.key, len(again.key)) == (first.key, 64)
    assert set(again.tensors) == set(first.tensors)
    assert all(torch.equal(again.tensors[name], first.tensors[name]) for name in list(first.tensors)[::50])
    assert all(tensor.dtype == torch.float32 for tensor in again.tensors.values())
    os.utime(path, (1, 1))
    WeightsStore(folder).network()
    assert checked == ["whole"]  # its checksum is the same
    replace(path, path.read_bytes()[:-50])
    with pytest.raises(WeightsError, match="not the file that was used first"):
        WeightsStore(folder).network()


def test_a_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    hashed: list[str] = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda f, kind: hashed.append(f.name) or real(f, kind))
    record, path = WeightsRecord(folder), folder / CODEBOOK.name

    seen = record.seen([path])
    record.remember(seen)
    again = WeightsRecord(folder).seen([path])
    assert (again.key, seen.known, again.known) == (seen.key, False, True)
    assert len(hashed) == 1
    os.utime(path, (1, 1))
    assert record.seen([path]).key == seen.key == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(hashed) == 2


def test_a_changed_file_is_refused_until_accepted(folder: Path, originals: Path) -> None:
    store = WeightsStore(folder)
    first, _ = store.codebook()
    other = write_codebook(folder.parent / "other.pkl", np.ones((9, 128))).read_bytes()
    replace(folder / CODEBOOK.name, other)

    for _ in range(2):
        with pytest.raises(WeightsError, match="not the file that was used first") as caught:
            store.codebook()
        assert "sfm weights --accept" in caught.value.hint
    store.accept()

    assert (store.codebook()[0].centroids == 1).all()
    replace(folder / CODEBOOK.name, (originals / CODEBOOK.name).read_bytes())
    with pytest.raises(WeightsError, match="not the file that was used first"):
        store.codebook()
    assert not np.array_equal(first.centroids, np.ones((9, 128)))


def test_a_file_that_could_not_be_read_is_not_pinned(folder: Path) -> None:
    store, path = WeightsStore(folder), folder / RETRIEVAL.name
    good = path.read_bytes()
    replace(path, good[:-50])
    for _ in range(2):
        with pytest.raises(WeightsError, match="damaged or truncated"):
            store.retrieval_head()
        with pytest.raises(WeightsError, match="damaged or truncated"):
            store.admit(WeightsKind.RETRIEVAL)

    replace(path, good)

    assert store.retrieval_head()[0].nfeat == 300


def test_damaged_files_are_not_accepted(folder: Path) -> None:
    store = WeightsStore(folder)
    store.codebook()
    replace(folder / CODEBOOK.name, b"<html>")

    with pytest.raises(WeightsError, match="a web page"):
        store.accept()
    with pytest.raises(WeightsError, match="not the file that was used first"):
        store.codebook()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"format": 9}', '{"format": 1, "files": {"a": 3}}', "[" * 100_000),
        r'{"format": 1, "files": {"\ud800": {"sha256": "0a"}}}',
    ],
)
def test_a_damaged_record_is_not_taken_for_none(folder: Path, text: str) -> None:
    (folder / NETWORK.name).unlink()
    (folder / "weights.json").write_text(text)
    store = WeightsStore(folder)

    with pytest.raises(WeightsError, match=r"weights\.json: damaged"):
        store.retrieval_head()
    store.accept()

    assert store.retrieval_head()[0].nfeat == 300
    assert json.loads((folder / "weights.json").read_text())["format"] == 1


def test_the_hubs_form_is_used_as_it_is(folder: Path, originals: Path) -> None:
    (folder / NETWORK.name).unlink()
    hub = Path(shutil.copytree(originals / "hub", folder / Path(NETWORK.name).stem, copy_function=os.link))
    store = WeightsStore(folder)

    network = store.network()

    assert network.architecture == from_hub_config(TINY)
    config = json.loads((hub / "config.json").read_text())
    replace(hub / "config.json", json.dumps(config | {"conf_mode": ["exp", 3, "inf"]}).encode())
    with pytest.raises(WeightsError, match=r"config\.json: not the file that was used first"):
        store.network()
    store.accept()
    assert store.network().key != network.key


def test_a_folder_that_cannot_be_written(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and real(path, mode))
    store = WeightsStore(folder)

    store.codebook()

    assert not (folder / "weights.json").exists()
    assert len(list(cache.rglob("weights.json"))) == 1
    replace(folder / CODEBOOK.name, b"other")
    with pytest.raises(WeightsError, match="not the file that was used first"):
        store.codebook()
    assert default_folder().is_relative_to(cache)


def test_where_nothing_can_be_kept_weights_still_load(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    store = WeightsStore(folder)

    assert len(store.codebook()[0]) == 9
    assert store.retrieval_head()[0].nfeat == 300
    assert store.show_once() == store.show_once() == LICENCE_NOTICE
    assert not list(folder.glob("*.json"))


def test_the_licence_is_shown_once_for_each_folder(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()

    assert WeightsStore(folder).show_once() == LICENCE_NOTICE
    assert WeightsStore(folder).show_once() == ""
    assert WeightsStore(other).show_once() == LICENCE_NOTICE
    assert "non-commercial" in LICENCE_NOTICE
