"""Whether this machine can run the mast3r backend at a speed that a user would choose."""

from __future__ import annotations

from sfm.config.schema import Mast3rConfig


def why_not(config: Mast3rConfig) -> str:
    """Why `backend: auto` doesn't take mast3r, in a few words; empty when it does."""
    if config.oracle is not None:
        return ""
    if not has_weights(config):
        return "weights not found; see `sfm weights`"
    import torch

    if config.device in ("auto", "cuda") and torch.cuda.is_available():
        return ""
    return "no CUDA GPU; backend=mast3r takes it all the same"


def has_weights(config: Mast3rConfig) -> bool:
    """Whether the network's weights are where they are looked for."""
    from sfm.mast3r.weights.weights import find_weights, given_weights, weights_folder

    network = find_weights(weights_folder(config.weights_dir), given_weights(config.weights))[0]
    return network.path is not None
