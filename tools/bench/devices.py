"""Devices that a bench is asked to measure on, and whether they are there."""

from __future__ import annotations

import torch

NO_DEVICE = 3
"""Exit code of a bench whose device is missing."""


def missing_device(name: str) -> str:
    """Why PyTorch cannot compute on the device of that name, in a few words; empty where it can."""
    try:
        torch.empty(1, device=torch.device(name))
    # A build without CUDA raises AssertionError.
    except (RuntimeError, AssertionError) as error:
        return f"no device {name} here ({str(error).splitlines()[0]})"
    return ""
