"""The network that a run uses: official weights on a device, or the oracle of the tests."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from retrieval.codebook import Codebook
from sfm.config.schema import Mast3rConfig
from sfm.errors import MissingDependencyError
from sfm.mast3r.predictor import PairPredictor

log = logging.getLogger(__name__)

_ORACLE_DESCRIPTORS = 300


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network ready to use, with what came with it."""

    predictor: PairPredictor
    codebook: Codebook | None
    max_descriptors: int
    """Local descriptors a photo that retrieval was made for."""
    notice: str
    """The licence of the weights; empty for the oracle."""


def open_predictor(config: Mast3rConfig) -> Loaded:
    """The network or its double.

    Raises:
        WeightsError: weights missing or unusable.
        MissingDependencyError: this machine lacks the device.
        InputError: the oracle's folder cannot be used.
    """
    if config.oracle is not None:
        from sfm.mast3r.oracle import OraclePredictor

        log.warning("mast3r.oracle: the ground truth of %s answers in place of the network", config.oracle)
        return Loaded(
            OraclePredictor(Path(config.oracle), size=config.image_size), None, _ORACLE_DESCRIPTORS, ""
        )
    device = choose_device(config.device)
    from sfm.mast3r.loading import load_predictor

    return load_predictor(config, device, choose_dtype(config.precision, device))


def choose_device(wanted: str) -> torch.device:
    """The device of that name; auto is the fastest one there.

    Raises:
        MissingDependencyError: there is no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, found in there.items() if found))
    if not there[wanted]:
        raise MissingDependencyError(
            f"mast3r.device={wanted}: PyTorch {torch.__version__} finds no such device here",
            hint="install the PyTorch build for it (https://pytorch.org), or take mast3r.device=cpu",
        )
    return torch.device(wanted)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Type of the transformer's arithmetic."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
