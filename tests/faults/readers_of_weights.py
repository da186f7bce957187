"""Readers of the weights of networks, and of what is remembered of them."""

import json
from pathlib import Path

from .reader import Reader


def _weights(folder: Path) -> None:
    """Checkpoints without training, small because all is zero: tensors share a storage, or are a hole."""
    import numpy as np
    import torch

    from sfm.mast3r.weights.model_call import from_hub_config
    from sfm.mast3r.weights.tensor_shapes import ALIASES, expected_shapes
    from tools.write_checkpoint import (
        TINY,
        write_codebook,
        write_hub_network,
        write_network,
        write_retrieval_head,
    )

    folder.mkdir(parents=True)
    tiny = {**TINY, "enc_embed_dim": 4, "dec_embed_dim": 4, "enc_num_heads": 1, "dec_num_heads": 1}
    tiny |= {"enc_depth": 1, "dec_depth": 10}
    shapes = {n: shape for n, shape in expected_shapes(from_hub_config(tiny)).items() if n not in ALIASES}
    storage = torch.zeros(max(int(np.prod(shape)) for shape in shapes.values()))
    state = {name: storage[: int(np.prod(shape))].view(shape) for name, shape in shapes.items()}
    write_network(folder / "network.pth", tiny, state)
    write_hub_network(folder / "hub", tiny, {name: tensor.clone() for name, tensor in state.items()})
    write_retrieval_head(folder / "head.pth", 8)
    write_codebook(folder / "codebook.pkl", np.ones((3, 8), np.float32))


def _network(folder: Path) -> None:
    from sfm.mast3r.weights.checkpoint import load_network_checkpoint

    load_network_checkpoint(folder / "network.pth")


def _hub_network(folder: Path) -> None:
    from sfm.mast3r.weights.checkpoint import load_network_checkpoint

    load_network_checkpoint(folder / "hub" / "model.safetensors")


def _retrieval(folder: Path) -> None:
    from sfm.mast3r.weights.codebook_file import load_codebook
    from sfm.mast3r.weights.retrieval_checkpoint import load_retrieval_head

    load_retrieval_head(folder / "head.pth")
    load_codebook(folder / "codebook.pkl")


def _record(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a.pth").write_bytes(b"weights")
    (folder / "b.safetensors").write_bytes(b"made")
    pin = {"sha256": "0a", "size": 7, "mtime_ns": 1, "trusted": False}
    content = {"format": 1, "files": {"a.pth": pin}, "made": {"b.safetensors": [4, 1]}, "licence_shown": True}
    (folder / "weights.json").write_text(json.dumps(content), encoding="utf-8")


def _use_record(folder: Path) -> None:
    from sfm.mast3r.weights.weights_record import WeightsRecord

    record = WeightsRecord(folder)
    record.remember(record.seen([folder / "a.pth"]))
    record.pinned("a.pth")
    record.show_once("notice")


WEIGHTS = {
    "network": Reader(_weights, _network, ("network.pth",), slowness=2),
    "network of the hub": Reader(_weights, _hub_network, ("hub/*",)),
    "retrieval weights": Reader(_weights, _retrieval, ("head.pth", "codebook.pkl")),
    "record of weights": Reader(_record, _use_record, ("weights.json",)),
}
