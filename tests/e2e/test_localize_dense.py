"""`sfm localize --dense`: the network, here the oracle, is asked for each point of the model."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch

import sfm
from sfm.mast3r.network.predictor import EncodedPhoto
from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.pipelines.localize import Localised, NotLocalised
from tests.e2e.conftest import Command

QUERY = "photo_03.jpg"


@pytest.fixture(scope="module")
def model(scene: Path, sfm_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a run without one photo, which lies in `query` beside it."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copytree(scene / "images", folder / "old")
    (folder / "query").mkdir()
    (folder / "old" / QUERY).rename(folder / "query" / QUERY)
    options = ("backend=mast3r", "mast3r.image_size=96", "export.report=false", "--threads", "1")
    done = sfm_command(
        "run", folder / "old", "-o", folder / "out", *options, f"internal.mast3r.oracle={scene}"
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


def located(model: Path, out: Path, sfm_command: Command, *more: str) -> dict:
    done = sfm_command("localize", model, model.parent / "query", "-o", out, "--json", "-q", *more)
    assert done.returncode == 0, done.stderr
    (query,) = json.loads(done.stdout)["queries"]
    assert query["state"] == "localised"
    return query


def test_a_dense_query_is_at_least_as_exact_as_one_by_keypoints(
    scene: Path, model: Path, tmp_path: Path, sfm_command: Command
) -> None:
    truth = json.loads((scene / "gt.json").read_text())["images"]
    centre = {n: -np.array(e["R_cw"]).T @ np.array(e["t_cw"]) for n, e in truth.items()}
    images = [i for i in pycolmap.Reconstruction(model / "sparse" / "0").images.values() if i.has_pose]
    fit = pycolmap.estimate_sim3d(
        np.array([i.projection_center() for i in images]), np.array([centre[i.name] for i in images])
    )
    assert fit is not None
    before = (model / "sparse" / "0" / "images.bin").read_bytes()

    sparse = located(model, tmp_path / "sparse", sfm_command)
    dense = located(model, tmp_path / "dense", sfm_command, "--dense")

    errors = [np.linalg.norm(fit * np.array(q["centre"]) - centre[QUERY]) for q in (sparse, dense)]
    # A network pixel, two of the photo's 192, covers 5 cm: a centimetre is within the noise.
    assert errors[1] < max(errors[0], 0.02) + 0.01
    assert dense["num_inliers"] > sparse["num_inliers"]
    assert dense["num_inliers"] > 0.9 * dense["num_points"]
    assert set(dense["partners"]) <= {i.name for i in images}
    assert (model / "sparse" / "0" / "images.bin").read_bytes() == before


def test_another_backend_has_no_network_to_ask(model: Path, tmp_path: Path, sfm_command: Command) -> None:
    query = model.parent / "query"

    done = sfm_command("localize", model, query, "-o", tmp_path / "out", "--dense", "backend=sift")

    assert done.returncode == 2
    assert "backend sift" in done.stderr
    assert not (tmp_path / "out" / "poses.json").exists()


@pytest.mark.parametrize(("refused", "is_localised"), [({QUERY}, False), ({"photo_02.jpg"}, True)])
def test_pairs_that_memory_does_not_suffice_for_end_no_job(
    refused: set[str], is_localised: bool, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, tried = OraclePredictor.decode, []

    def limited(
        self: OraclePredictor, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]
    ) -> object:
        if refused & {photo.name for photo in (*first, *second)}:
            tried.append(first)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, first, second)

    monkeypatch.setattr(OraclePredictor, "decode", limited)

    (query,) = sfm.localize(model, model.parent / "query", output=tmp_path / "out", dense=True).queries

    assert tried
    assert query.name == QUERY
    if is_localised:
        assert isinstance(query, Localised)
        assert not refused & set(query.partners)
    else:
        assert isinstance(query, NotLocalised)
        assert "could not be matched: out of memory" in query.reason
