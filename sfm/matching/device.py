"""The device that a network runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfm.errors import MissingDependencyError

if TYPE_CHECKING:  # runs that need no network start without it
    import torch


def choose_device(wanted: str, option: str) -> torch.device:
    """The device of that name; auto is the fastest one there.

    Args:
        option: that asked for it, for the error.

    Raises:
        MissingDependencyError: there is no such device.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[wanted]:
        raise MissingDependencyError(
            f"{option}={wanted}: PyTorch {torch.__version__} finds no such device here",
            hint=f"install the PyTorch build for it (https://pytorch.org), or take {option}=cpu",
        )
    return torch.device(wanted)
