"""A run opens the network with what goes with it, or says at once which files do not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sfm.config.schema import Mast3rConfig
from sfm.dense.predictors import open_predictor
from sfm.errors import WeightsError
from sfm.mast3r.weights import OFFICIAL_FILES
from tests.mast3r.checkpoint_files import small_state
from tools.write_checkpoint import TINY, write_codebook, write_network, write_retrieval_head

NETWORK, RETRIEVAL, CODEBOOK = (file.name for file in OFFICIAL_FILES)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose tokens have 128 channels."""
    return write_network(tmp_path_factory.mktemp("network") / NETWORK, TINY, small_state())


def weights(folder: Path, network: Path, *, head: int, words: int | None) -> Mast3rConfig:
    (folder / NETWORK).hardlink_to(network)
    write_retrieval_head(folder / RETRIEVAL, head, num_words=9)
    if words is not None:
        write_codebook(folder / CODEBOOK, np.random.default_rng(1).normal(size=(9, words)).astype(np.float32))
    return Mast3rConfig(weights_dir=str(folder), device="cpu", image_size=64)


def test_files_that_belong_together_are_opened(tmp_path: Path, network: Path) -> None:
    loaded = open_predictor(weights(tmp_path, network, head=128, words=128))
    assert loaded.has_retrieval_head
    assert loaded.codebook is not None


def test_a_head_for_another_network_is_refused(tmp_path: Path, network: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        open_predictor(weights(tmp_path, network, head=1024, words=None))
    said = str(caught.value)
    assert str(tmp_path / RETRIEVAL) in said
    assert str(tmp_path / NETWORK) in said
    assert "1024" in said
    assert "128" in said
    assert "delete it" in caught.value.hint


def test_a_codebook_for_another_head_is_refused(tmp_path: Path, network: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        open_predictor(weights(tmp_path, network, head=128, words=1024))
    said = str(caught.value)
    assert str(tmp_path / CODEBOOK) in said
    assert str(tmp_path / RETRIEVAL) in said
    assert "1024" in said
    assert "delete it" in caught.value.hint
