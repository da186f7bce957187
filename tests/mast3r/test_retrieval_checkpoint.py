"""The retrieval head is read exactly, and contradictions in it are named."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.mast3r.weights.retrieval_checkpoint import load_retrieval_head
from tools.bench.parity import recipe
from tools.write_checkpoint import (
    write_retrieval_head,
)

from .checkpoint_files import (
    refused,
)


def test_retrieval_head_without_training(tmp_path: Path) -> None:
    head = load_retrieval_head(write_retrieval_head(tmp_path / "r.pth", 16))

    weights = recipe.retrieval_weights(16)
    assert head.prewhiten is not None
    assert head.prewhiten[0].dtype == torch.float64
    assert np.array_equal(head.prewhiten[0], weights["prewhiten.m"])
    assert np.array_equal(head.prewhiten[1], weights["prewhiten.p"])
    assert head.postwhiten is None
    assert (head.projector, head.hidden_dims, head.residual) == ({}, (), False)
    assert (head.nfeat, head.image_size, head.num_clusters) == (300, 512, 65536)


def trained_head(path: Path, model: Mapping[str, torch.Tensor | None] = {}, **fields: object) -> Path:
    shapes = {"0.weight": (4, 16), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "3.weight": (16, 4)}
    tensors = {f"projector.{name}": torch.rand(shape) for name, shape in shapes.items()}
    tensors |= {"projector.3.bias": torch.rand(16)}
    tensors |= {"postwhiten.m": torch.rand(1, 16).double(), "postwhiten.p": torch.rand(16, 16).double()}
    args = {"hdims": "4_16", "residual": True, "postwhiten": True, "prewhiten": None, "nfeat": -0.5}
    args |= {"featweights": "l2norm", "imsize": 512, "nclusters": "1k", "freeze_backbone": True}
    kept = {name: tensor for name, tensor in {**tensors, **model}.items() if tensor is not None}
    torch.save({"args": argparse.Namespace(**(args | fields)), "model": kept}, path)
    return path


def test_retrieval_head_with_a_trained_projector(tmp_path: Path) -> None:
    head = load_retrieval_head(trained_head(tmp_path / "r.pth"))

    assert head.prewhiten is None
    assert head.postwhiten is not None
    assert head.postwhiten[1].shape == (16, 16)
    assert set(head.projector) == {"0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"}
    assert (head.hidden_dims, head.residual, head.nfeat, head.num_clusters) == ((4, 16), True, -0.5, 1024)


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        ({}, {"hdims": "4_17"}, "residual projector from 16 to 17"),
        ({}, {"hdims": "4_17", "residual": False}, "of another shape"),
        ({}, {"hdims": "4_"}, "hdims: "),
        ({}, {"hdims": "99999999999"}, "hdims: "),
        ({}, {"hdims": [4, 16]}, "hdims: "),
        ({}, {"hdims": ""}, "unknown"),
        ({}, {"prewhiten": True}, "2 missing (prewhiten.m, prewhiten.p)"),
        ({"postwhiten.p": None}, {"postwhiten": None}, "1 missing (postwhiten.p)"),
        ({}, {"imsize": 224}, "imsize: "),
        ({}, {"featweights": "attn"}, "featweights: "),
        ({}, {"nfeat": 0}, "nfeat: "),
        ({}, {"nfeat": -2}, "nfeat: "),
        ({}, {"nfeat": float("nan")}, "nfeat: "),
        ({}, {"nfeat": float("inf")}, "nfeat: "),
        ({}, {"nclusters": "64q"}, "nclusters: "),
        ({"backbone.enc_norm.weight": torch.zeros(1)}, {}, "a network of its own"),
        ({"projector.3.bias": torch.full((16,), torch.nan)}, {}, "holds NaN"),
        ({"projector.0.weight": torch.zeros(())}, {}, "tells the length of a token"),
    ],
)
def test_retrieval_heads_that_contradict_themselves(
    tmp_path: Path, model: Mapping[str, torch.Tensor | None], fields: Mapping[str, object], said: str
) -> None:
    assert said in refused(load_retrieval_head, trained_head(tmp_path / "r.pth", model, **fields))


def test_a_head_knows_what_it_takes_and_gives(tmp_path: Path) -> None:
    plain = load_retrieval_head(write_retrieval_head(tmp_path / "r.pth", 16))
    assert (plain.token_dim, plain.descriptor_dim) == (16, 16)
    narrow = {"projector.3.weight": torch.rand(8, 4), "projector.3.bias": torch.rand(8)}
    narrow |= {"postwhiten.m": torch.rand(1, 8).double(), "postwhiten.p": torch.rand(8, 8).double()}
    trained = load_retrieval_head(trained_head(tmp_path / "t.pth", narrow, hdims="4_8", residual=False))
    assert (trained.token_dim, trained.descriptor_dim) == (16, 8)
