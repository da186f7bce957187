"""The hub's `config.json`: as its own writer leaves it, and as somebody might who means harm."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from sfm.mast3r.weights.checkpoint import load_network_checkpoint, open_network_checkpoint
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import ALIASES
from tools.write_checkpoint import TINY, write_hub_network

from .checkpoint_files import refused, small_state

AS_SAVED = """{
  "conf_mode": [
    "exp",
    1,
    Infinity
  ],
  "dec_depth": 12,
  "dec_embed_dim": 96,
  "dec_num_heads": 4,
  "depth_mode": [
    "exp",
    -Infinity,
    Infinity
  ],
  "desc_conf_mode": [
    "exp",
    0,
    Infinity
  ],
  "desc_mode": "norm",
  "enc_depth": 4,
  "enc_embed_dim": 128,
  "enc_num_heads": 4,
  "head_type": "catmlp+dpt",
  "img_size": [
    64,
    64
  ],
  "output_mode": "pts3d+desc24",
  "patch_embed_cls": "ManyAR_PatchEmbed",
  "pos_embed": "RoPE100",
  "two_confs": true
}"""
"""What `save_pretrained` of huggingface_hub 0.23, 0.25, 0.34 and 1.2 writes for the small network."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = {name: tensor.clone() for name, tensor in small_state().items() if name not in ALIASES}
    return write_hub_network(tmp_path_factory.mktemp("hub"), TINY, state)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").hardlink_to(saved / "model.safetensors")
    shutil.copy(saved / "config.json", tmp_path)
    return tmp_path


def test_what_the_hubs_own_writer_leaves_is_loaded(folder: Path) -> None:
    (folder / "config.json").write_text(AS_SAVED)

    architecture, tensors = load_network_checkpoint(folder)

    assert architecture == from_hub_config(TINY)
    assert torch.equal(tensors["enc_norm.weight"], small_state()["enc_norm.weight"])
    assert json.loads(AS_SAVED) == json.loads((write_config(folder) / "config.json").read_text())


def write_config(folder: Path, **changes: object) -> Path:
    config = {"desc_mode": "norm", **TINY, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


HUGE = 10**400
NESTED: list[object] = []
for _ in range(900):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"desc_mode": "none"}, "desc_mode must be 'norm', not none"),
        ({"desc_mode": HUGE}, "desc_mode must be 'norm'"),
        ({"freeze": "encoder"}, "freeze must be 'none', not encoder"),
        ({"freeze": NESTED}, "freeze must be 'none'"),
        ({"enc_depth": HUGE}, "enc_depth must be a whole number"),
        ({"enc_depth": -HUGE}, "enc_depth must be a whole number"),
        ({"enc_depth": float("inf")}, "enc_depth must be a whole number"),
        ({"mlp_ratio": 1e308}, "mlp_ratio must be a whole number"),
        ({"conf_mode": ["exp", HUGE, "inf"]}, "is not a number"),
        ({"conf_mode": NESTED}, "conf_mode must be"),
        ({"conf_mode": {"exp": HUGE}}, "conf_mode must be"),
        ({"output_mode": f"pts3d+desc{HUGE}"}, "output_mode must be like"),
        ({"output_mode": NESTED}, "output_mode must be like"),
        ({"pos_embed": "RoPE1" + "0" * 400}, "pos_embed must be like"),
        ({"pos_embed": "__import__('os').system('true')"}, "pos_embed must be like"),
        ({"head_type": "eval('1')"}, "head_type must be like"),
        ({"patch_embed_cls": "os.system"}, "patch_embed_cls must be"),
        ({"landscape_only": "exec('x')"}, "landscape_only must be"),
        ({"two_confs": HUGE}, "two_confs must be"),
        ({"norm_layer": "__import__('os')"}, "unknown arguments norm_layer"),
        ({"__class__": "x", "\ud800\x1b[31m": 1}, "unknown arguments"),
        ({f"key{i}": 0 for i in range(20_000)}, "unknown arguments"),
        ({"x" * 100_000: 0}, "unknown arguments"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_hostile_values_are_refused_by_name(changes: dict[str, object], said: str, folder: Path) -> None:
    write_config(folder, **changes)

    message = refused(open_network_checkpoint, folder)
    assert said in message
    assert len(message) < 1000
    message.encode()
    assert "\x1b" not in message


@pytest.mark.parametrize(
    "text",
    [
        '{"enc_depth": ' + "9" * 5000 + "}",
        '{"enc_depth": 1e' + "9" * 5000 + "}",
        '{"a":' * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "[" * 500_000 + "]" * 500_000,
        "\x00" * 100,
        '"AsymmetricMASt3R()"',
        "NaN",
        "null",
        '{"enc_depth": 24,}',
        "__import__('os').system('true')",
        "\ufeff{}",
    ],
    ids=range(12),
)
def test_hostile_documents_are_refused(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)

    assert len(refused(open_network_checkpoint, folder)) < 1000


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00}\x00", b"\xed\xa0\x80", b"{" + b" " * (2 << 20) + b"}"])
def test_bytes_that_are_no_text_are_refused(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)

    refused(open_network_checkpoint, folder)


def test_a_pipe_in_its_place_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")

    assert "not a regular file" in refused(open_network_checkpoint, folder)
