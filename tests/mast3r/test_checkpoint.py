"""Checkpoints in their official forms are read exactly, and checked strictly."""

import argparse
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.mast3r.network.network import Mast3rNetwork
from sfm.mast3r.weights.checkpoint import load_network_checkpoint, network_names
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import ALIASES
from tools.bench.parity import recipe
from tools.write_checkpoint import (
    OFFICIAL,
    TINY,
    model_call,
    network_state,
    write_hub_network,
    write_network,
)

from .checkpoint_files import (
    only,
    refused,
    small_state,
)

ROOT = Path(__file__).resolve().parents[2]


def test_all_forms_hold_the_same_network(tmp_path: Path) -> None:
    pth = write_network(tmp_path / "n.pth", TINY, small_state())
    hub = write_hub_network(
        tmp_path / "hub", TINY, {name: tensor.clone() for name, tensor in small_state().items()}
    )

    for path in (pth, hub, hub / "model.safetensors"):
        architecture, tensors = load_network_checkpoint(path)

        assert architecture == from_hub_config(TINY)
        assert set(tensors) == set(network_names(architecture))
        assert all(torch.equal(tensors[name], small_state()[name]) for name in tensors)
        assert not set(tensors) & {"mask_token", *ALIASES}
        assert Mast3rNetwork.from_tensors(architecture, tensors).architecture == architecture


@pytest.mark.parametrize(
    ("name", "shape", "digest"),
    [
        ("mask_token", (1, 1, 96), "6d09c6507d0c7c9f"),
        ("enc_norm.weight", (128,), "d602c70e0b47f95f"),
        ("downstream_head1.dpt.act_postprocess.0.1.bias", (96,), "93393ebb1caffb70"),
        ("dec_blocks.0.attn.proj.weight", (96, 96), "64aa2cd301651573"),
        ("downstream_head2.dpt.head.4.weight", (4, 128, 1, 1), "deccce5b9cab2db4"),
    ],
)
def test_recipe_weights_are_those_of_the_fixtures(name: str, shape: tuple[int, ...], digest: str) -> None:
    assert hashlib.sha256(recipe.weight(name, shape).tobytes()).hexdigest().startswith(digest)


def test_recipe_gives_both_names_of_a_tensor_the_same_numbers() -> None:
    first, second = "h.dpt.scratch.layer3_rn.weight", "h.dpt.scratch.layer_rn.2.weight"

    written = recipe.state_dict({first: (2, 3), second: (2, 3)})

    assert np.array_equal(written[first], written[second])


def test_what_training_stores_beside_the_weights_is_passed_over(network: Callable[..., Path]) -> None:
    optimiser = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.full((5,), 7.25)}}}
    args = argparse.Namespace(model=model_call(TINY), output_dir=Path("here"), best=np.float64(0.5), on=True)
    path = network(optimizer=optimiser, scaler={"scale": 1.0}, best_so_far=float("inf"), args=args)

    architecture, tensors = load_network_checkpoint(path)

    assert len(tensors) == len(network_names(architecture))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32(network: Callable[..., Path], dtype: torch.dtype) -> None:
    value = torch.linspace(-1, 1, 128).to(dtype)

    tensors = only(network({"enc_norm.bias": value}), "enc_norm.bias")

    assert tensors["enc_norm.bias"].dtype == torch.float32
    assert torch.equal(tensors["enc_norm.bias"], value.float())


def test_parameters_and_turned_tensors_are_read_as_they_are(network: Callable[..., Path]) -> None:
    turned = torch.randn(128, 96).T
    parameter = torch.nn.Parameter(torch.randn(96))

    path = network({"decoder_embed.weight": turned, "decoder_embed.bias": parameter})
    tensors = only(path, "decoder_embed.weight", "decoder_embed.bias")

    assert torch.equal(tensors["decoder_embed.weight"], turned)
    assert torch.equal(tensors["decoder_embed.bias"], parameter)


def test_one_decoder_serves_both_views(network: Callable[..., Path]) -> None:
    absent = {name: None for name in small_state() if name.startswith("dec_blocks2.")}

    first, second = (f"{branch}.7.attn.qkv.weight" for branch in ("dec_blocks", "dec_blocks2"))
    tensors = only(network(absent), first, second)

    assert torch.equal(tensors[first], tensors[second])


def test_either_name_of_a_tensor_will_do(network: Callable[..., Path]) -> None:
    for absent in (ALIASES, ALIASES.values()):
        tensors = only(network(dict.fromkeys(absent)), *ALIASES.values())

        assert all(torch.equal(tensors[name], small_state()[name]) for name in ALIASES.values())


def test_mask_token_may_be_missing_but_not_wrong(network: Callable[..., Path]) -> None:
    load_network_checkpoint(network({"mask_token": None}))
    assert "1 of another shape (mask_token (3,) instead of (1, 1, 96))" in refused(
        load_network_checkpoint, network({"mask_token": torch.zeros(3)})
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"enc_norm.weight": None}, "1 missing (enc_norm.weight)"),
        (
            dict.fromkeys([f"enc_blocks.{i}.norm1.bias" for i in range(4)] + ["dec_norm.bias"]),
            "5 missing (enc_blocks.0.norm1.bias, ",
        ),
        ({"backbone.x": torch.zeros(1)}, "1 unknown (backbone.x)"),
        ({"enc_norm.bias": torch.zeros(127)}, "enc_norm.bias (127,) instead of (128,)"),
        ({"enc_norm.bias": torch.zeros(())}, "enc_norm.bias () instead of (128,)"),
        ({"enc_norm.bias": torch.zeros(128, dtype=torch.int64)}, "enc_norm.bias torch.int64"),
        ({"enc_norm.bias": torch.full((128,), torch.nan)}, "enc_norm.bias holds NaN or infinity"),
        ({"enc_norm.bias": torch.full((128,), -torch.inf)}, "enc_norm.bias holds NaN or infinity"),
        ({"enc_norm.bias": torch.full((128,), 1e300, dtype=torch.float64)}, "holds NaN or infinity"),
        (
            {"downstream_head1.dpt.scratch.layer_rn.0.weight": torch.zeros(256, 96, 3, 3)},
            "are one tensor, but differ",
        ),
    ],
)
def test_what_is_wrong_with_the_tensors_is_named(
    network: Callable[..., Path], changes: Mapping[str, torch.Tensor | None], said: str
) -> None:
    assert said in refused(load_network_checkpoint, network(changes))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    return write_hub_network(folder, TINY, {"enc_norm.weight": torch.zeros(128)})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "levels deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "levels deep"),
        (b'{"enc_depth": ' + b"9" * 5000 + b"}", "more than 300 digits"),
        (b'{"enc_depth": 1, "enc_depth": 2}', "twice"),
        (b"", "empty file"),
        (b'{"pos_embed": "RoPE100"}', "head_type"),
        (b"{" + b" " * (2 << 20) + b"}", "too long"),
        (b"\x00" * 100, "zero bytes"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"__import__('os').system('true')", "not valid JSON"),
        (b"NaN", "not an object"),
        (None, "no such file"),
    ],
    ids=range(14),
)
def test_hub_configurations_that_cannot_be_used(
    hub: Path, tmp_path: Path, config: bytes | None, said: str
) -> None:
    (tmp_path / "model.safetensors").hardlink_to(hub / "model.safetensors")
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)

    message = refused(load_network_checkpoint, tmp_path)
    assert said in message
    assert len(message) < 1000


def test_a_pipe_in_place_of_the_hubs_configuration_is_refused(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").hardlink_to(hub / "model.safetensors")
    os.mkfifo(tmp_path / "config.json")

    assert "not a regular file" in refused(load_network_checkpoint, tmp_path)


def test_hub_weights_that_cannot_be_used(tmp_path: Path) -> None:
    folder = write_hub_network(tmp_path / "hub", TINY, {"enc_norm.weight": torch.zeros(128)})
    file = folder / "model.safetensors"
    data = file.read_bytes()

    assert "missing" in refused(load_network_checkpoint, folder)
    file.write_bytes(data[:-1])
    assert "damaged safetensors" in refused(load_network_checkpoint, folder)
    file.write_bytes(data.replace(b"[0,512]", b"[0,999]"))
    assert "damaged safetensors" in refused(load_network_checkpoint, folder)
    file.write_bytes(struct.pack("<Q", 1 << 31) + data[8:])
    assert "damaged safetensors" in refused(load_network_checkpoint, folder)
    file.write_bytes(data.replace(b'"F32"', b'"I32"'))
    assert "1 not floating point" in refused(load_network_checkpoint, folder)


_MEASURE = """
import sys, time
from pathlib import Path
from sfm.mast3r.weights.checkpoint import load_network_checkpoint
start = time.perf_counter()
architecture, tensors = load_network_checkpoint(Path(sys.argv[1]))
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak, own = (int(status[key].split()[0]) / 1e6 for key in ("VmHWM", "RssAnon"))
numbers = sum(tensor.numel() for tensor in tensors.values())
print(len(tensors), numbers, f"{seconds:.1f} s, peak {peak:.2f} GB, of which not the file {own:.2f} GB")
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_full_size_official_layout(tmp_path: Path) -> None:
    path = write_network(tmp_path / "full.pth", OFFICIAL, network_state(OFFICIAL))

    command = [sys.executable, "-c", _MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)

    path.unlink()
    print(f"{done.stdout.strip()}", file=sys.stderr)
    names, numbers, *_ = done.stdout.split()
    assert int(names) == 1017 - 8 - 1
    assert int(numbers) == 688_638_856 - 768
