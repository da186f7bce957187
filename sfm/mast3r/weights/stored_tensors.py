"""Tensors that are views of a file: all can be checked before the numbers of one are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open

from sfm.errors import WeightsError

FETCH_AGAIN: Final = "delete the file and get it again: sfm weights --download"
"""The hint of most failures."""
_LISTED = 4


StoredTensors = Mapping[str, torch.Tensor]


def safetensors_of(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises:
        WeightsError: damaged, or truncated.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except Exception as error:  # safetensors' own, and torch's of types that it does not know
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
                if name in expected and tuple(tensor.shape) != expected[name]
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


def read_finite(path: Path, name: str, stored: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """One tensor as `dtype`; a view of the file where it has this type already.

    Raises:
        WeightsError: NaN or infinity in it.
    """
    tensor = stored.to(dtype)
    if tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor))):
        raise WeightsError(f"{path}: tensor {name} holds NaN or infinity", hint=FETCH_AGAIN)
    return tensor


def _size(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _few(names: list[str]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(_short(name) for name in names[:_LISTED]) + more


def _short(name: str) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= 100 else f"{text[:100]}..."
