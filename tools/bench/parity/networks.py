"""Networks with the recipe's weights, as the manifests of a fixture folder describe them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfm.mast3r.network.architecture import NetworkArchitecture
from sfm.mast3r.network.network import Mast3rNetwork
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import expected_shapes

from .recipe import state_dict


@dataclass(frozen=True)
class Manifest:
    """Configuration, seed and tensors of one network."""

    architecture: NetworkArchitecture
    seed: int
    shapes: dict[str, tuple[int, ...]]
    hashes: dict[str, str]
    """First 16 hexadecimal digits of the sha256 of each tensor's float32 bytes."""


def read_manifest(path: Path) -> Manifest:
    """A manifest; the seed is 0 where it names none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return Manifest(
        from_hub_config(content["config"]),
        int(content.get("seed", 0)),
        {name: tuple(entry["shape"]) for name, entry in content["params"].items()},
        {name: entry["sha256_f32"] for name, entry in content["params"].items()},
    )


def full_manifest(folder: Path) -> Path | None:
    """The manifest of the network whose outputs are in `full/`."""
    for path in (folder / "full" / "manifest.json", *sorted(folder.glob("manifest_*.json"))):
        if path.is_file() and "config" in _json(path):
            return path
    return None


@lru_cache(maxsize=1)
def build(path: Path, device: str, dtype: torch.dtype = torch.float32) -> tuple[Mast3rNetwork, int]:
    """The network of a manifest, and how many of its tensors differ from the manifest in bytes or shape.

    The last one stays in memory for the next caller; 2.6 GB for ViT-L.
    """
    return network_of(read_manifest(path), device, dtype)


def network_of(
    manifest: Manifest,
    device: str,
    dtype: torch.dtype = torch.float32,
    *,
    scale: Mapping[str, float] | None = None,
) -> tuple[Mast3rNetwork, int]:
    """The same of a manifest that was read; `scale` multiplies tensors after the recipe."""
    scale = scale or {}
    differing = sum(manifest.shapes.get(n) != s for n, s in expected_shapes(manifest.architecture).items())
    tensors: dict[str, torch.Tensor] = {}
    for name, shape in manifest.shapes.items():
        values = state_dict({name: shape}, manifest.seed)[name]
        values = values * np.float32(scale.get(name, 1.0)) if name in scale else values
        differing += hashlib.sha256(values).hexdigest()[:16] != manifest.hashes[name]
        tensors[name] = torch.from_numpy(values)
    network = Mast3rNetwork.from_tensors(manifest.architecture, tensors)
    return network.to(device=device, dtype=dtype), differing


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
