"""Tensors that lie in a file and have not been read yet, so that all of them can be checked first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open

from sfm.errors import WeightsError

FETCH_AGAIN: Final = "delete the file and get it again: sfm weights --download"
"""The hint of most failures."""
_LISTED = 4


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a file; its size was checked against the file's."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], torch.Tensor]
    """A view of the file in memory, which the system reads when it is used."""


StoredTensors = Mapping[str, StoredTensor]


def safetensors_of(path: Path) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises:
        WeightsError: damaged, truncated, or tensors of an unusual type.
    """
    try:
        file: Any = safe_open(path, framework="pt")
        tensors = {}
        for name in list(file.keys()):
            lazy = file.get_slice(name)
            dtype = _DTYPES.get(lazy.get_dtype())
            if dtype is None:
                raise WeightsError(f"{path}: {name!r} is {lazy.get_dtype()}, expected floating point")
            tensors[name] = StoredTensor(tuple(lazy.get_shape()), dtype, _reader(file, name))
        return tensors, dict(file.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path}: damaged safetensors file: {error}", hint=FETCH_AGAIN) from error


def check_shapes(
    path: Path, stored: StoredTensors, expected: Mapping[str, tuple[int, ...]], what: str
) -> None:
    """Names, shapes and types must be exactly those of `what`.

    Raises:
        WeightsError: naming the first few that are missing, unknown, of another shape, or not floating point.
    """
    problems = [
        ("missing", [name for name in expected if name not in stored]),
        ("unknown", [name for name in stored if name not in expected]),
        (
            "of another shape",
            [
                f"{name} {_size(tensor.shape)} instead of {_size(expected[name])}"
                for name, tensor in stored.items()
                if name in expected and tensor.shape != expected[name]
            ],
        ),
        (
            "not floating point",
            [f"{name} {t.dtype}" for name, t in stored.items() if not t.dtype.is_floating_point],
        ),
    ]
    found = "; ".join(f"{len(names)} {kind} ({_few(names)})" for kind, names in problems if names)
    if found:
        raise WeightsError(f"{path}: not {what}: tensors {found}", hint=FETCH_AGAIN)


def read_finite(path: Path, name: str, stored: StoredTensor, dtype: torch.dtype) -> torch.Tensor:
    """One tensor as `dtype`; a view of the file where it has this type already.

    Raises:
        WeightsError: NaN or infinity in it.
    """
    tensor = stored.read().to(dtype)
    if tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor))):
        raise WeightsError(f"{path}: tensor {name} holds NaN or infinity", hint=FETCH_AGAIN)
    return tensor


def _reader(file: Any, name: str) -> Callable[[], torch.Tensor]:
    def read() -> torch.Tensor:
        tensor: torch.Tensor = file.get_tensor(name)
        return tensor

    return read


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _few(names: list[str]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(_short(name) for name in names[:_LISTED]) + more


def _short(name: str) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= 100 else f"{text[:100]}..."


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
