"""Deterministic weights and inputs: pure functions of a name, a shape and a seed, so that everybody can make
the same ones. The fixtures were computed with them.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def weight(name: str, shape: Sequence[int], seed: int = 0) -> NDArray[np.float32]:
    """The parameter called `name`, scaled so that activations keep their size through the network."""
    z = normal(name, shape, seed)
    if name == "mask_token" or (len(shape) < 2 and not _is_norm(name)):
        value = 0.02 * z
    elif _is_norm(name):
        value = 1.0 + 0.02 * z if name.endswith("weight") else 0.02 * z
    else:
        # Kernel and stride of these transposed convolutions are equal: a pixel sees one of the input.
        transposed = "act_postprocess.0.1." in name or "act_postprocess.1.1." in name
        value = z / np.sqrt(shape[0] if transposed else np.prod(shape[1:]))
        if name.endswith(".dpt.head.4.weight"):
            value = 0.1 * value
    return value.astype(np.float32)


def state_dict(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """All parameters of a network; second names of a tensor get the value of its first."""
    return {name: weight(_first_name(name), shape, seed) for name, shape in shapes.items()}


def retrieval_weights(dim: int, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """A retrieval head without training: whitening of tokens with `dim` channels."""
    return {
        "prewhiten.m": 0.05 * normal("retrieval.prewhiten.m", (1, dim), seed),
        "prewhiten.p": normal("retrieval.prewhiten.p", (dim, dim), seed) / np.sqrt(dim),
    }


def image(name: str, h: int, w: int, seed: int = 0, batch: int | None = None) -> NDArray[np.float32]:
    """Waves and noise in [-1, 1], (3, h, w), or (batch, 3, h, w)."""
    generator = _generator(f"image:{name}", seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    pixels = np.empty((batch or 1, 3, h, w))
    for plane in pixels.reshape(-1, h, w):
        total = 0.3 * generator.standard_normal((h, w))
        for _ in range(4):
            fx, fy = generator.uniform(-0.4, 0.4), generator.uniform(-0.4, 0.4)
            phase, amplitude = generator.uniform(0, 6.28), generator.uniform(0.2, 0.8)
            total = total + amplitude * np.sin(fx * x + fy * y + phase)
        plane[:] = np.tanh(total)
    result = pixels.astype(np.float32)
    return result if batch is not None else result[0]


def _generator(name: str, seed: int) -> np.random.Generator:
    start = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "big")
    return np.random.Generator(np.random.PCG64((start + seed) % 2**64))


def normal(name: str, shape: Sequence[int], seed: int = 0) -> NDArray[np.float64]:
    """Standard normal numbers of this shape, in C order."""
    return _generator(name, seed).standard_normal(tuple(shape))


def _is_norm(name: str) -> bool:
    return "norm" in ".".join(name.split(".")[-2:-1])


def _first_name(name: str) -> str:
    return re.sub(r"scratch\.layer_rn\.(\d)\.", lambda m: f"scratch.layer{int(m[1]) + 1}_rn.", name)
