"""The network's checkpoint, in the authors' form or that of the Hugging Face hub, checked strictly.

Nothing of either form is executed or evaluated: of pickles only tensors and plain values are made, and the
constructor call that describes the network is parsed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from sfm.errors import WeightsError

from ..network.architecture import ArchitectureError, NetworkArchitecture
from .foreign_files import describe, first_bytes, require_zip
from .model_call import from_hub_config, parse_model_call
from .stored_tensors import StoredTensors, check_shapes, read_finite, safetensors_of
from .tensor_shapes import ALIASES, expected_shapes
from .torch_file import TorchFile
from .weights import HUB_CONFIG, HUB_WEIGHTS

_MAX_CONFIG_BYTES = 1 << 20
_UNUSED = "mask_token"
"""Of pre-training; whether a file still has it does not matter."""
_WRONG_FILE = "`sfm weights` lists which file goes by which name"


@dataclass(frozen=True, slots=True)
class NetworkCheckpoint:
    """A checkpoint whose names, shapes and types were found right; its numbers have not been read yet."""

    path: Path
    architecture: NetworkArchitecture
    stored: StoredTensors
    """By the names of `network_names`."""

    def tensors(self, *, verified: bool = False) -> dict[str, torch.Tensor]:
        """All weights as float32: views of the file where it has float32, which must then stay in place.

        Args:
            verified: whether the numbers of this file were found finite before.

        Raises:
            WeightsError: NaN or infinity among them.
        """
        if verified:
            return {name: tensor.to(torch.float32) for name, tensor in self.stored.items()}
        return {
            name: read_finite(self.path, name, tensor, torch.float32) for name, tensor in self.stored.items()
        }


def load_network_checkpoint(path: Path) -> tuple[NetworkArchitecture, dict[str, torch.Tensor]]:
    """The network of a checkpoint and its weights.

    Args:
        path: a `.pth` as the authors write it; or a safetensors file with its `config.json` beside it, or the
            folder of both.

    Returns:
        The architecture, and float32 tensors by the names of `network_names`.

    Raises:
        WeightsError: missing, damaged, hostile, of another network, or with NaN or infinity.
    """
    checkpoint = open_network_checkpoint(path)
    return checkpoint.architecture, checkpoint.tensors()


def open_network_checkpoint(path: Path, *, verified: bool = False) -> NetworkCheckpoint:
    """As `load_network_checkpoint`, without reading the numbers.

    `verified` leaves out the checksums of a `.pth`, which take reading it whole.
    """
    if path.is_dir():
        path = path / HUB_WEIGHTS
        first_bytes(path)
    if is_hub_form(path):
        return _open_hub_form(path)
    require_zip(path)
    return _open_torch_form(path, verified=verified)


def is_hub_form(path: Path) -> bool:
    """Whether a file is what a `config.json` beside it describes, whatever it is called.

    Raises:
        WeightsError: it cannot be read.
    """
    return describe(first_bytes(path)) == "a safetensors file"


def network_names(architecture: NetworkArchitecture) -> list[str]:
    """Names of the tensors that a loaded network has: one for each, `mask_token` left out."""
    return [n for n in expected_shapes(architecture) if n not in ALIASES and n != _UNUSED]


def checked_tensors(
    path: Path, stored: StoredTensors, architecture: NetworkArchitecture
) -> dict[str, torch.Tensor]:
    """The tensors of a network, each under one name, if they are exactly those that it must have.

    A file whose two views share one decoder names it once; the second gets the same tensors.

    Raises:
        WeightsError: tensors are missing, unknown, of another shape or type, or two names of one disagree.
    """
    tensors = dict(stored)
    for alias, name in ALIASES.items():
        second = tensors.pop(alias, None)
        if second is None:
            continue
        first = tensors.setdefault(name, second)
        if first.shape != second.shape or not torch.equal(first, second):
            raise WeightsError(f"{path}: {alias} and {name} are one tensor, but differ in this file")
    if not any(name.startswith("dec_blocks2.") for name in tensors):
        shared = {name: t for name, t in tensors.items() if name.startswith("dec_blocks.")}
        tensors |= {name.replace("dec_blocks.", "dec_blocks2.", 1): t for name, t in shared.items()}
    shapes = expected_shapes(architecture)
    names = [*network_names(architecture), *([_UNUSED] if _UNUSED in tensors else [])]
    check_shapes(path, tensors, {name: shapes[name] for name in names}, "the network that it describes")
    tensors.pop(_UNUSED, None)
    return tensors


def _open_torch_form(path: Path, *, verified: bool) -> NetworkCheckpoint:
    file = TorchFile(path, verified=verified)
    arguments = file.fields("args")
    if arguments is None:
        raise WeightsError(f"{path}: has no args that describe a network; not MASt3R's", hint=_WRONG_FILE)
    text = arguments.get("model")
    if "nfeat" in arguments or not isinstance(text, str):
        found = "the retrieval head" if "nfeat" in arguments else "no description of a network"
        raise WeightsError(f"{path}: holds {found}, expected the MASt3R network", hint=_WRONG_FILE)
    try:
        architecture = parse_model_call(text)
    except ArchitectureError as error:
        raise WeightsError(f"{path}: {error}", hint=_WRONG_FILE) from error
    return NetworkCheckpoint(path, architecture, checked_tensors(path, file.tensors("model"), architecture))


def _open_hub_form(path: Path) -> NetworkCheckpoint:
    config_path = path.with_name(HUB_CONFIG)
    first_bytes(config_path)
    try:
        if config_path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError("too long for a configuration")
        config = json.loads(config_path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not an object")
        architecture = from_hub_config(config)
    except ArchitectureError as error:
        raise WeightsError(f"{config_path}: {error}", hint=_WRONG_FILE) from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{config_path}: damaged: {error}", hint="fetch it again") from error
    stored, _ = safetensors_of(path)
    return NetworkCheckpoint(path, architecture, checked_tensors(path, stored, architecture))
