"""Rotary position embedding."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from kernels.rope2d import rope2d

from .case import Case, compare

ATOL = 1e-6


def cases(folder: Path, *, device: str = "cpu") -> Iterator[Case]:
    """Every input of `rope/*.npz`."""
    for path in sorted((folder / "rope").glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                name = key.removesuffix("__in")
                if name == key:
                    continue
                x, positions = (
                    torch.from_numpy(file[f"{name}__{part}"]).to(device) for part in ("in", "pos")
                )
                turned = rope2d(x, positions, base=float(file[f"{name}__base"]))
                yield compare(f"{path.stem} {name}", turned.cpu(), file[f"{name}__out"], atol=ATOL, rtol=1e-6)
