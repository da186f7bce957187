"""A run opens the network with what goes with it, or says at once which files do not belong together."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfm.config.schema import Mast3rConfig
from sfm.errors import WeightsError
from sfm.mast3r.network.network_predictor import NetworkPredictor
from sfm.mast3r.weights.weights import OFFICIAL_FILES
from sfm.matching.dense.inference.predictors import open_predictor
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
    assert loaded.head_key
    assert loaded.codebook_key
    assert loaded.codebook is not None


def test_the_network_is_compiled_on_request(tmp_path: Path, network: Path) -> None:
    config = weights(tmp_path, network, head=128, words=128)

    for wanted in (False, True):
        predictor = open_predictor(replace(config, compile=wanted)).predictor
        assert isinstance(predictor, NetworkPredictor)
        block = predictor._network.enc_blocks[0]
        assert (block._compiled_call_impl is not None) == wanted


@pytest.mark.parametrize(
    ("head", "words", "rows", "said"),
    [
        (1024, None, 9, rf"length of tokens is 1024 in .*/{RETRIEVAL}, but 128 in .*/{NETWORK}"),
        (128, 1024, 9, rf"length of words is 1024 in .*/{CODEBOOK}, but 128 in .*/{RETRIEVAL}"),
        (128, 128, 8, "number of words is 8 in .*, but 9 in"),
    ],
)
def test_files_that_were_not_made_for_each_other_are_refused(
    tmp_path: Path, network: Path, head: int, words: int | None, rows: int, said: str
) -> None:
    config = weights(tmp_path, network, head=head, words=words)
    if words is not None:
        numbers = np.random.default_rng(1).normal(size=(rows, words)).astype(np.float32)
        write_codebook(tmp_path / CODEBOOK, numbers)

    with pytest.raises(WeightsError, match=said) as caught:
        open_predictor(config)
    assert "delete the retrieval head" in caught.value.hint


def test_larger_images_than_the_network_was_trained_on_are_warned_of(
    tmp_path: Path, network: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = weights(tmp_path, network, head=128, words=128)

    open_predictor(config)
    assert "trained on images" not in caplog.text

    open_predictor(replace(config, image_size=512))
    assert "trained on images of 64 px: mast3r.image_size=64 fits them, not 512" in caplog.text


COMPILING = """
import logging, os, sys, warnings
import torch
import torch._dynamo, torch._inductor.compile_fx
from sfm.matching.dense.inference.predictors import hush_compiler

def compile():
    torch._dynamo.config.recompile_limit = 1
    twice = torch.compile(lambda x: 2 * x, backend="eager", dynamic=False)
    for size in range(1, 4):
        twice(torch.ones(size))
    warnings.warn_explicit("slow", UserWarning, "compile_fx.py", 1, module="torch._inductor.compile_fx")
    warnings.warn_explicit("ours", UserWarning, "ours.py", 1, module="sfm.ours")

if os.fork() == 0:
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 2)
    compile()
    os._exit(0)
os.wait()
hush_compiler()
compile()
"""
"""Twice after the imports, which take longest: in a child that says all in a file, then in silence."""


def test_the_compiler_can_be_made_silent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMPILING, tmp_path / "loud"]

    # A GPU cannot be used from a forked child.
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    quiet = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True, env=env).stderr

    loud = (tmp_path / "loud").read_text()
    assert "recompile_limit" in loud
    assert "slow" in loud
    assert "recompile_limit" not in quiet
    assert "slow" not in quiet
    assert "ours" in quiet
