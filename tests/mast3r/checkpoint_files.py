"""Checkpoints for tests: small ones, changed ones, and what must happen when one is refused."""

import functools
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from sfm.errors import WeightsError
from sfm.mast3r.weights.checkpoint import load_network_checkpoint
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import expected_shapes
from tools.write_checkpoint import TINY, write_network

State = dict[str, torch.Tensor]


@functools.cache
def small_state() -> State:
    """The tiny network, all tensors over the same few numbers, so that its file is small."""
    shapes = {name: torch.Size(shape) for name, shape in expected_shapes(from_hub_config(TINY)).items()}
    numbers = torch.randn(max(shape.numel() for shape in shapes.values())) * 0.01
    return {name: numbers[: shape.numel()].view(shape) for name, shape in shapes.items()}


def write_changed(path: Path, changes: Mapping[str, torch.Tensor | None] = {}, **others: object) -> Path:
    """A network whose state is changed as given; None leaves a tensor out."""
    merged = {**small_state(), **changes}
    kept = {name: tensor for name, tensor in merged.items() if tensor is not None}
    return write_network(path, TINY, kept, **others)


def refused(load: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)
    assert caught.value.exit_code == 4
    return str(caught.value)


def only(path: Path, *names: str) -> State:
    """Some tensors of a network, after all checks."""
    tensors = load_network_checkpoint(path)[1]
    return {name: tensors[name] for name in names}


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


class Executes:
    """Runs code wherever it is unpickled."""

    def __init__(self, maker: Callable[..., object], *arguments: object) -> None:
        self.call = maker, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call
