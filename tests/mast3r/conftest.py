"""What tests of the network share: stored fixtures, the small network whose outputs they hold, a room."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.mast3r.weights.weights import OFFICIAL_FILES
from tools.write_checkpoint import (
    TINY,
    write_codebook,
    write_hub_network,
    write_network,
    write_retrieval_head,
)

from .checkpoint_files import small_state, write_changed
from .room import write_room

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


@pytest.fixture(scope="session")
def parity_data() -> Path:
    """Fixtures in the repository, laid out for the parity bench."""
    sys.path[:0] = [] if str(BENCH) in sys.path else [str(BENCH)]
    return Path(__file__).parent / "data" / "parity"


@pytest.fixture(scope="session")
def small_tensors(parity_data: Path) -> dict[str, torch.Tensor]:
    """Weights of the small network; not to be changed."""
    from parity import networks, recipe

    manifest = networks.read_manifest(parity_data / "tiny" / "manifest.json")
    weights = recipe.state_dict(manifest.shapes, manifest.seed)
    return {name: torch.from_numpy(values) for name, values in weights.items()}


@pytest.fixture
def small_network(parity_data: Path, small_tensors: dict[str, torch.Tensor]) -> object:
    """The small network, its own copy."""
    from parity import networks

    from sfm.mast3r.network.network import Mast3rNetwork

    manifest = networks.read_manifest(parity_data / "tiny" / "manifest.json")
    return Mast3rNetwork.from_tensors(
        manifest.architecture, {name: tensor.clone() for name, tensor in small_tensors.items()}
    )


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny network with changes to its state and to what lies beside it."""
    return functools.partial(write_changed, tmp_path / "network.pth")


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small weights under their official names, the network also in the hub's form; to be linked."""
    folder = tmp_path_factory.mktemp("originals")
    network, retrieval, codebook = (folder / official.name for official in OFFICIAL_FILES)
    write_network(network, TINY, small_state())
    write_hub_network(folder / "hub", TINY, {name: tensor.clone() for name, tensor in small_state().items()})
    write_retrieval_head(retrieval, 128, num_words=9)
    write_codebook(codebook, np.random.default_rng(1).normal(size=(9, 128)).astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered room of `write_room`; not to be changed."""
    folder = tmp_path_factory.mktemp("room")
    write_room(folder)
    return folder
