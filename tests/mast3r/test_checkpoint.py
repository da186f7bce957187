"""Checkpoints in their official forms are read exactly; all else is refused, and nothing is executed."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfm.errors import WeightsError
from sfm.mast3r.checkpoint import load_network_checkpoint, network_names, open_network_checkpoint
from sfm.mast3r.model_call import from_hub_config
from sfm.mast3r.retrieval_checkpoint import load_retrieval_head
from sfm.mast3r.tensor_shapes import ALIASES, expected_shapes
from sfm.mast3r.torch_file import TorchFile
from tools.bench.parity_cases import recipe
from tools.write_checkpoint import (
    OFFICIAL,
    TINY,
    model_call,
    network_state,
    write_codebook,
    write_hub_network,
    write_network,
    write_retrieval_head,
)

ROOT = Path(__file__).resolve().parents[2]
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """All tensors over the same few numbers, so that files are small."""
    shapes = expected_shapes(from_hub_config(TINY))
    numbers = torch.randn(max(torch.Size(shape).numel() for shape in shapes.values())) * 0.01
    return {name: numbers[: torch.Size(shape).numel()].view(shape) for name, shape in shapes.items()}


@pytest.fixture
def network(tmp_path: Path, state: State) -> Callable[..., Path]:
    """Writes a network whose state is changed as given; None leaves a tensor out."""

    def write(changes: Mapping[str, torch.Tensor | None] = {}, **others: object) -> Path:
        merged = {**state, **changes}
        kept = {name: tensor for name, tensor in merged.items() if tensor is not None}
        return write_network(tmp_path / "network.pth", TINY, kept, **others)

    return write


@pytest.fixture
def bait(tmp_path: Path) -> Path:
    """Exists once something from a file was executed."""
    return tmp_path / "executed"


class Executes:
    """Runs code wherever it is unpickled."""

    def __init__(self, maker: Callable[..., object], *arguments: object) -> None:
        self.call = maker, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def refused(load: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
    assert caught.value.exit_code == 4
    return str(caught.value)


def only(path: Path, *names: str) -> State:
    """Some tensors of a network, after all checks of names and shapes."""
    checkpoint = open_network_checkpoint(path)
    return replace(checkpoint, stored={name: checkpoint.stored[name] for name in names}).tensors()


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None], **options: object) -> Path:
    """The same archive with other contents; None leaves a part out."""
    copy = path.with_name("rewritten.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", **options) as new:  # type: ignore[arg-type]
        for entry in old.infolist():
            data = change(entry.filename.partition("/")[2], old.read(entry))
            if data is not None:
                new.writestr(entry.filename, data)
    return copy


def with_pickle(path: Path, pickled: bytes) -> Path:
    return rewritten(path, lambda name, data: pickled if name == "data.pkl" else data)


def test_all_forms_hold_the_same_network(tmp_path: Path, state: State) -> None:
    pth = write_network(tmp_path / "n.pth", TINY, state)
    hub = write_hub_network(tmp_path / "hub", TINY, {name: tensor.clone() for name, tensor in state.items()})
    assert open_network_checkpoint(hub / "model.safetensors").path == hub / "model.safetensors"

    for path in (pth, hub):
        architecture, tensors = load_network_checkpoint(path)

        assert architecture == from_hub_config(TINY)
        assert set(tensors) == set(network_names(architecture))
        assert all(torch.equal(tensors[name], state[name]) for name in tensors)
        assert not set(tensors) & {"mask_token", *ALIASES}


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


def test_what_training_stores_beside_the_weights_is_not_read(network: Callable[..., Path]) -> None:
    optimiser = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.full((5,), 7.25)}}}
    args = argparse.Namespace(model=model_call(TINY), output_dir=Path("here"), best=np.float64(0.5), on=True)
    path = network(optimizer=optimiser, scaler={"scale": 1.0}, best_so_far=float("inf"), args=args)
    data = path.read_bytes()
    moments = struct.pack("<5f", *[7.25] * 5)
    assert data.count(moments) == 1
    path.write_bytes(data.replace(moments, b"\xff" * 20))  # its checksum is wrong now

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


def test_one_decoder_serves_both_views(network: Callable[..., Path], state: State) -> None:
    absent = {name: None for name in state if name.startswith("dec_blocks2.")}

    first, second = (f"{branch}.7.attn.qkv.weight" for branch in ("dec_blocks", "dec_blocks2"))
    tensors = only(network(absent), first, second)

    assert torch.equal(tensors[first], tensors[second])


def test_either_name_of_a_tensor_will_do(network: Callable[..., Path], state: State) -> None:
    for absent in (ALIASES, ALIASES.values()):
        tensors = only(network(dict.fromkeys(absent)), *ALIASES.values())

        assert all(torch.equal(tensors[name], state[name]) for name in ALIASES.values())


def test_mask_token_may_be_missing_but_not_wrong(network: Callable[..., Path]) -> None:
    open_network_checkpoint(network({"mask_token": None}))

    assert "1 of another shape (mask_token 3 instead of 1x1x96)" in refused(
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
        ({"enc_norm.bias": torch.zeros(127)}, "enc_norm.bias 127 instead of 128"),
        ({"enc_norm.bias": torch.zeros(())}, "enc_norm.bias scalar instead of 128"),
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


@pytest.mark.parametrize("where", ["args", "model", "optimizer", "inside args", "instead of a tensor"])
@pytest.mark.parametrize("what", ["os.system", "builtins.eval", "builtins.getattr"])
def test_hostile_calls_are_refused_and_not_made(
    network: Callable[..., Path], bait: Path, where: str, what: str
) -> None:
    if what == "os.system":
        attack = Executes(os.system, f"touch {bait}")
    elif what == "builtins.eval":
        attack = Executes(eval, f"open({str(bait)!r}, 'w').close()")
    else:
        attack = Executes(getattr, b"", "join")
    if where == "inside args":
        path = network(args=argparse.Namespace(model=model_call(TINY), extra=[{"deep": (attack,)}]))
    elif where == "instead of a tensor":
        path = network({"enc_norm.weight": attack})
    else:
        path = network(**{where: attack})

    message = refused(load_network_checkpoint, path)

    assert not bait.exists()
    assert "refers to" in message
    assert what.rpartition(".")[2] in message


def test_a_description_of_the_network_is_not_evaluated(network: Callable[..., Path], bait: Path) -> None:
    for text in (
        f"open({str(bait)!r}, 'w')",
        model_call(TINY).replace("'RoPE100'", f"open({str(bait)!r}, 'w')"),
        model_call(TINY) + ";import os",
        "(" * 3000,
        "",
    ):
        refused(load_network_checkpoint, network(args=argparse.Namespace(model=text)))

    assert not bait.exists()


PICKLES = {
    "a persistent id of its own": b"\x80\x02}X\x05\x00\x00\x00modelX\x01\x00\x00\x00xQs.",
    "a text opcode": b"\x80\x02cos\nsystem\n(S'true'\ntR.",
    "an instance": b"\x80\x02(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a huge memo index": b"\x80\x02}r\xff\xff\xff\xff.",
    "a missing memo entry": b"\x80\x02h\x07.",
    "a key twice": b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.",
    "a list as key": b"\x80\x02}]K\x01s.",
    "a deep tuple as key": b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
    "a deep tuple": b"\x80\x02)" + b"\x85" * 390_000 + b".",
    "endless instructions": b"\x80\x02" + b"N0" * 400_001 + b".",
    "many instructions": b"\x80\x02" + b"]" * 400_001 + b".",
    "an empty stack": b"\x80\x02.",
    "two values": b"\x80\x02NN.",
    "no end": b"\x80\x02}",
    "nothing": b"",
    "no mark": b"\x80\x02t.",
    "state for a list": b"\x80\x02]}b.",
    "items for a number": b"\x80\x02K\x01NNs.",
    "a call of a text": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "a giant text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",
    "giant bytes": b"\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00.",
    "a giant number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "no text in it": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "a number": b"\x80\x02K\x05.",
    "itself": b"\x80\x02]q\x00h\x00a.",
}


@pytest.mark.parametrize("pickled", PICKLES.values(), ids=PICKLES.keys())
def test_odd_pickles_are_refused_at_once(tmp_path: Path, pickled: bytes) -> None:
    path = with_pickle(write_retrieval_head(tmp_path / "r.pth", 8), pickled)
    started = time.monotonic()

    refused(load_retrieval_head, path)

    assert time.monotonic() - started < 20


def rebuilt(numel: int, offset: object, shape: object, stride: object, key: str = "0") -> bytes:
    """A checkpoint's pickle with one tensor, however little sense it makes."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):  # type: ignore[name-defined]
        def persistent_id(self, value: object) -> object:
            if isinstance(value, Storage):
                return ("storage", torch.FloatStorage, key, "cpu", numel)
            return None

    class Tensor:
        def __reduce__(self) -> object:
            arguments = (Storage(), offset, shape, stride, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    buffer = io.BytesIO()
    args = argparse.Namespace(nfeat=300, prewhiten=True)
    Pickler(buffer, 2).dump({"args": args, "model": {"prewhiten.m": Tensor()}})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (rebuilt(8, 0, (1, 1 << 40), (0, 0)), "larger than its 8 stored numbers"),
        (rebuilt(8, 0, (1 << 40,), (1,)), "larger than its 8 stored numbers"),
        (rebuilt(8, 4, (1, 8), (8, 1)), "larger than its 8 stored numbers"),
        (rebuilt(8, 0, (2, 2), (1 << 47, 1)), "larger than its 8 stored numbers"),
        (rebuilt(8, -1, (1, 8), (8, 1)), "no valid shape"),
        (rebuilt(8, 0, (1, -8), (8, 1)), "no valid shape"),
        (rebuilt(8, 0, (1, 8), (-8, 1)), "no valid shape"),
        (rebuilt(8, 0, (1, 8), (1,)), "no valid shape"),
        (rebuilt(8, 0, (1,) * 9, (1,) * 9), "no valid shape"),
        (rebuilt(8, 0, (1, "8"), (8, 1)), "no valid shape"),
        (rebuilt(8, True, (1, 8), (8, 1)), "no valid shape"),
        (rebuilt(1 << 40, 0, (1, 8), (8, 1)), "missing or of another size"),
        (rebuilt(8, 0, (1, 8), (8, 1), key="7"), "missing or of another size"),
        (rebuilt(8, 0, (1, 8), (8, 1), key="../data.pkl"), "missing or of another size"),
    ],
)
def test_tensors_that_the_file_cannot_hold(tmp_path: Path, pickled: bytes, said: str) -> None:
    torch.save({"model": torch.zeros(8)}, tmp_path / "t.pth")

    assert said in refused(load_retrieval_head, with_pickle(tmp_path / "t.pth", pickled))


def test_archives_that_torch_does_not_write(network: Callable[..., Path], tmp_path: Path) -> None:
    good = write_retrieval_head(tmp_path / "r.pth", 8)

    bomb = rewritten(good, lambda _, data: data, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(load_retrieval_head, bomb)
    big = rewritten(good, lambda name, data: b"big" if name == "byteorder" else data)
    assert "not little-endian" in refused(load_retrieval_head, big)
    headless = rewritten(good, lambda name, data: None if name == "data.pkl" else data)
    assert "not one of torch.save" in refused(load_retrieval_head, headless)
    script = rewritten(good, lambda name, data: data)
    with zipfile.ZipFile(script, "a") as archive:
        archive.writestr("r/constants.pkl", b"")
    assert "TorchScript" in refused(load_retrieval_head, script)
    double = rewritten(good, lambda name, data: data)
    with zipfile.ZipFile(double, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    assert "two parts are called data.pkl" in refused(load_retrieval_head, double)


def test_changed_numbers_are_noticed(tmp_path: Path) -> None:
    path = write_retrieval_head(tmp_path / "r.pth", 8)
    number = struct.pack("<d", recipe.retrieval_weights(8)["prewhiten.m"][0, 3])
    data = path.read_bytes()
    assert data.count(number) == 1
    path.write_bytes(data.replace(number, struct.pack("<d", 0.5)))

    assert "another checksum" in refused(load_retrieval_head, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html>\n<html><head><title>404", "a web page"),
        (b"\xef\xbb\xbf  <html>", "a web page"),
        (b'<?xml version="1.0"?><Error>', "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", "git-lfs"),
        (b'{"error": "not found"}', "JSON"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x00" * 4096, "only zeros"),
        (b"hello, world", "unknown format"),
        (b"PK\x03\x04" + b"\x00" * 100, "damaged or truncated"),
        (pickle.dumps({"model": 1}), "a plain pickle"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    assert said in refused(load_network_checkpoint, path)
    assert said in refused(load_retrieval_head, path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "no such file" in refused(load_network_checkpoint, tmp_path / "none.pth")
    assert "no such file" in refused(load_network_checkpoint, tmp_path)
    assert "a folder" in refused(load_retrieval_head, tmp_path)


def test_truncated_at_any_place(network: Callable[..., Path]) -> None:
    path = network()
    data = path.read_bytes()

    for size in (4, 100, 10_000, len(data) // 2, len(data) - 1000, len(data) - 1):
        path.write_bytes(data[:size])
        refused(load_network_checkpoint, path)


def test_each_kind_of_file_says_what_it_is(network: Callable[..., Path], tmp_path: Path) -> None:
    head = write_retrieval_head(tmp_path / "head.pth", 8)
    codebook = write_codebook(tmp_path / "codebook.pkl", np.zeros((2, 8), np.float32))
    old = tmp_path / "old.pth"
    torch.save({"model": {}}, old, _use_new_zipfile_serialization=False)
    dust3r = network(args=argparse.Namespace(model="AsymmetricCroCo3DStereo(pos_embed='RoPE100')"))

    assert "is not a call of AsymmetricMASt3R" in refused(load_network_checkpoint, dust3r)
    assert "holds the retrieval head" in refused(load_network_checkpoint, head)
    assert "a plain pickle" in refused(load_network_checkpoint, codebook)
    assert "a plain pickle" in refused(load_network_checkpoint, old)
    assert "no retrieval settings" in refused(load_retrieval_head, network())
    torch.save({"model": {"enc_norm.weight": torch.zeros(1)}, "croco_kwargs": {}}, tmp_path / "croco.pth")
    assert "not MASt3R's" in refused(load_network_checkpoint, tmp_path / "croco.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    assert "expected a dict" in refused(load_network_checkpoint, tmp_path / "tensor.pth")
    torch.save({"args": argparse.Namespace(model=model_call(TINY))}, tmp_path / "empty.pth")
    assert "no state dict 'model'" in refused(load_network_checkpoint, tmp_path / "empty.pth")
    torch.save({"args": argparse.Namespace(model=model_call(TINY)), "model": {}}, tmp_path / "empty.pth")
    assert "missing (patch_embed.proj.weight" in refused(load_network_checkpoint, tmp_path / "empty.pth")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "damaged"),
        ("[]", "not an object"),
        ("[" * 100_000, "damaged"),
        ("", "empty file"),
        (json.dumps({"pos_embed": "RoPE100"}), "head_type"),
        (" " * (2 << 20), "too long"),
        (None, "no such file"),
    ],
)
def test_hub_configurations_that_cannot_be_used(tmp_path: Path, config: str | None, said: str) -> None:
    folder = write_hub_network(tmp_path / "hub", TINY, {"enc_norm.weight": torch.zeros(128)})
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(config)

    assert said in refused(load_network_checkpoint, folder)


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
    assert "expected floating point" in refused(load_network_checkpoint, folder)


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
        ({}, {"hdims": "4_"}, "args.hdims"),
        ({}, {"hdims": "99999999999"}, "args.hdims"),
        ({}, {"hdims": [4, 16]}, "args.hdims"),
        ({}, {"hdims": ""}, "unknown"),
        ({}, {"prewhiten": True}, "2 missing (prewhiten.m, prewhiten.p)"),
        ({"postwhiten.p": None}, {"postwhiten": None}, "1 missing (postwhiten.p)"),
        ({}, {"imsize": 224}, "args.imsize"),
        ({}, {"featweights": "attn"}, "args.featweights"),
        ({}, {"nfeat": 0}, "args.nfeat"),
        ({}, {"nfeat": -2}, "args.nfeat"),
        ({}, {"nfeat": float("nan")}, "args.nfeat"),
        ({}, {"nfeat": float("inf")}, "args.nfeat"),
        ({}, {"nclusters": "64q"}, "args.nclusters"),
        ({"backbone.enc_norm.weight": torch.zeros(1)}, {}, "a network of its own"),
        ({"projector.3.bias": torch.full((16,), torch.nan)}, {}, "holds NaN"),
        ({"projector.0.weight": torch.zeros(())}, {}, "tells the length of a token"),
    ],
)
def test_retrieval_heads_that_contradict_themselves(
    tmp_path: Path, model: Mapping[str, torch.Tensor | None], fields: Mapping[str, object], said: str
) -> None:
    assert said in refused(load_retrieval_head, trained_head(tmp_path / "r.pth", model, **fields))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_does_worse_than_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "r.pth"
    if not path.exists():
        write_retrieval_head(path, 8)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])

    try:
        load_retrieval_head(damaged)
        TorchFile(damaged).fields("args")
    except WeightsError:
        pass


_MEASURE = """
import resource, sys, time
from pathlib import Path
from sfm.mast3r.checkpoint import load_network_checkpoint
start = time.perf_counter()
architecture, tensors = load_network_checkpoint(Path(sys.argv[1]))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(len(tensors), sum(t.numel() for t in tensors.values()), f"{seconds:.1f} s, peak {peak:.2f} GB")
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
