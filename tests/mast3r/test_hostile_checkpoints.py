"""Files that are not checkpoints, or worse, are refused, and nothing of them is executed."""

import argparse
import io
import os
import pickle
import resource
import struct
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.mast3r.weights.checkpoint import load_network_checkpoint
from sfm.mast3r.weights.retrieval_checkpoint import load_retrieval_head
from tools.bench.parity import recipe
from tools.write_checkpoint import (
    TINY,
    model_call,
    write_codebook,
    write_retrieval_head,
)

from .checkpoint_files import (
    Executes,
    refused,
    rewritten,
    with_pickle,
)


@pytest.fixture
def bait(tmp_path: Path) -> Path:
    """Exists once something from a file was executed."""
    return tmp_path / "executed"


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
    "a tuple of the same two, again and again, as key": b"\x80\x02})" + b"2\x86" * 64 + b"K\x01s.",
    "the same by the memo": b"\x80\x02})" + b"q\x00h\x00\x86" * 64 + b"K\x01s.",
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
    "pickled",
    [
        rebuilt(8, 0, (1, 1 << 40), (0, 0)),
        rebuilt(8, 0, (1 << 40,), (1,)),
        rebuilt(8, 0, (1 << 31,), (1,)),
        rebuilt(8, 4, (1, 8), (8, 1)),
        rebuilt(8, 0, (2, 2), (1 << 47, 1)),
        rebuilt(8, -1, (1, 8), (8, 1)),
        rebuilt(8, 0, (1, -8), (8, 1)),
        rebuilt(8, 0, (1, 8), (-8, 1)),
        rebuilt(8, 0, (1, 8), (1,)),
        rebuilt(8, 0, (1,) * 9, (1,) * 9),
        rebuilt(8, 0, (1, "8"), (8, 1)),
        rebuilt(1 << 40, 0, (1, 1 << 40), (1 << 40, 1)),
        rebuilt(8, 0, (1, 8), (8, 1), key="7"),
        rebuilt(8, 0, (1, 8), (8, 1), key="../data.pkl"),
    ],
)
def test_tensors_that_the_file_cannot_hold(tmp_path: Path, pickled: bytes) -> None:
    torch.save({"model": torch.zeros(8)}, tmp_path / "t.pth")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    refused(load_retrieval_head, with_pickle(tmp_path / "t.pth", pickled))

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_archives_that_torch_does_not_write(network: Callable[..., Path], tmp_path: Path) -> None:
    good = write_retrieval_head(tmp_path / "r.pth", 8)

    bomb = rewritten(good, lambda _, data: data, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(load_retrieval_head, bomb)
    headless = rewritten(good, lambda name, data: None if name == "data.pkl" else data)
    assert "not an archive of torch.save" in refused(load_retrieval_head, headless)
    script = rewritten(good, lambda name, data: data)
    with zipfile.ZipFile(script, "a") as archive:
        archive.writestr("r/constants.pkl", b"")
    assert "TorchScript" in refused(load_retrieval_head, script)
    double = rewritten(good, lambda name, data: data)
    with zipfile.ZipFile(double, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    assert "two parts have one name" in refused(load_retrieval_head, double)


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


def test_each_kind_of_file_says_what_it_is(network: Callable[..., Path], tmp_path: Path) -> None:
    head = write_retrieval_head(tmp_path / "head.pth", 8)
    codebook = write_codebook(tmp_path / "codebook.pkl", np.zeros((2, 8), np.float32))
    old = tmp_path / "old.pth"
    torch.save({"model": {}}, old, _use_new_zipfile_serialization=False)
    croco = network(args=argparse.Namespace(model="CroCoNet(pos_embed='RoPE100')"))

    assert "not a call of AsymmetricMASt3R" in refused(load_network_checkpoint, croco)
    assert "holds the retrieval head" in refused(load_network_checkpoint, head)
    assert "a plain pickle" in refused(load_network_checkpoint, codebook)
    assert "a plain pickle" in refused(load_network_checkpoint, old)
    assert "nfeat: missing" in refused(load_retrieval_head, network())


ARGS = argparse.Namespace(model=model_call(TINY))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {"enc_norm.weight": torch.zeros(1)}, "croco_kwargs": {}}, "has no args and model"),
        (torch.zeros(3), "has no args and model"),
        ({"args": ARGS}, "has no args and model"),
        ({"args": ARGS, "model": {}}, "missing (patch_embed.proj.weight"),
        ({"args": ARGS, "model": {"enc_norm.weight": 5}}, "enc_norm.weight is no tensor"),
        ({"args": ARGS, "model": {7: torch.zeros(1)}}, "7 is no tensor"),
        ({"args": ARGS, "model": {"a": torch.zeros(3).to_sparse()}}, "a is no tensor"),
        ({"args": {"lr": 1}, "model": {}}, "no description of a network"),
    ],
)
def test_checkpoints_of_something_else(content: object, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")

    assert said in refused(load_network_checkpoint, tmp_path / "other.pth")
