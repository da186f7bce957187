"""The network's checkpoint, in the authors' form or that of the Hugging Face hub, checked strictly.

Nothing of either form is executed or evaluated: of pickles only tensors and plain values are made, and the
constructor call that describes the network is parsed.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from sfm.errors import WeightsError
from sfm.untrusted.documents import read_json

from ..network.architecture import ArchitectureError, NetworkArchitecture
from .foreign_files import FETCH_AGAIN, SAFETENSORS, WRONG_FILE, format_of
from .model_call import from_hub_config, parse_model_call
from .tensor_shapes import ALIASES, expected_shapes
from .torch_file import check_shapes, read_checkpoint, read_finite, read_safetensors
from .weights import HUB_CONFIG, HUB_WEIGHTS

_MAX_CONFIG_BYTES = 1 << 20
_UNUSED = "mask_token"
"""Of pre-training; whether a file still has it does not matter."""


def load_network_checkpoint(
    path: Path, *, verified: bool = False
) -> tuple[NetworkArchitecture, dict[str, torch.Tensor]]:
    """The network of a checkpoint and its weights.

    Args:
        path: a `.pth` as the authors write it; or a safetensors file with its `config.json` beside it, or the
            folder of both.
        verified: whether this file was read without fault before: its checksums, and whether its numbers are
            finite, take reading it whole.

    Returns:
        The architecture, and float32 tensors by the names of `network_names`: views of the file where it has
        float32, which must then stay in place.

    Raises:
        WeightsError: missing, damaged, hostile, of another network, or with NaN or infinity.
    """
    path = path / HUB_WEIGHTS if path.is_dir() else path
    is_hub_form = format_of(path) == SAFETENSORS
    architecture, stored = _open_hub_form(path) if is_hub_form else _open_torch_form(path, verified=verified)
    tensors = _checked_tensors(path, stored, architecture)
    if verified:
        return architecture, {name: tensor.to(torch.float32) for name, tensor in tensors.items()}
    return architecture, {n: read_finite(path, n, tensor, torch.float32) for n, tensor in tensors.items()}


def network_names(architecture: NetworkArchitecture) -> list[str]:
    """Names of the tensors that a loaded network has: one for each, `mask_token` left out."""
    return [n for n in expected_shapes(architecture) if n not in ALIASES and n != _UNUSED]


def _checked_tensors(
    path: Path, stored: Mapping[str, torch.Tensor], architecture: NetworkArchitecture
) -> dict[str, torch.Tensor]:
    """The tensors of a network, each under one name, if they are exactly those that it must have.

    A file whose two views share one decoder names it once; the second gets the same tensors.
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


def _open_torch_form(path: Path, *, verified: bool) -> tuple[NetworkArchitecture, Mapping[str, torch.Tensor]]:
    arguments, stored = read_checkpoint(path, verified=verified)
    text = arguments.get("model")
    if "nfeat" in arguments or not isinstance(text, str):
        found = "the retrieval head" if "nfeat" in arguments else "no description of a network"
        raise WeightsError(f"{path}: holds {found}, expected the MASt3R network", hint=WRONG_FILE)
    try:
        return parse_model_call(text), stored
    except ArchitectureError as error:
        raise WeightsError(f"{path}: {error}", hint=WRONG_FILE) from error


def _open_hub_form(path: Path) -> tuple[NetworkArchitecture, Mapping[str, torch.Tensor]]:
    config_path = path.with_name(HUB_CONFIG)
    format_of(config_path)
    if config_path.stat().st_size > _MAX_CONFIG_BYTES:
        raise WeightsError(f"{config_path}: too long for a configuration", hint=FETCH_AGAIN)
    config = read_json(config_path, error=WeightsError, hint=FETCH_AGAIN)
    if not isinstance(config, dict):
        raise WeightsError(f"{config_path}: not an object", hint=FETCH_AGAIN)
    try:
        return from_hub_config(config), read_safetensors(path)
    except ArchitectureError as error:
        raise WeightsError(f"{config_path}: {error}", hint=WRONG_FILE) from error
