"""Names and shapes of the tensors of a checkpoint."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import torch

from ..network.architecture import FUSION_CHANNELS, NetworkArchitecture
from ..network.network import Mast3rNetwork

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each tensor by its name."""

ALIASES: Final[Mapping[str, str]] = {
    f"downstream_head{head}.dpt.scratch.layer_rn.{i}.weight": (
        f"downstream_head{head}.dpt.scratch.layer{i + 1}_rn.weight"
    )
    for head in (1, 2)
    for i in range(4)
}
"""Second names under which checkpoints hold the same tensors; a file may have either name or both."""


@lru_cache(maxsize=8)
def expected_shapes(architecture: NetworkArchitecture) -> Shapes:
    """Names and shapes of every tensor of a checkpoint with this network, second names (`ALIASES`) included.

    A few belong to checkpoints although inference never reads them: `mask_token`, and `resConfUnit1` of the
    coarsest fusion.
    """
    with torch.device("meta"):
        network = Mast3rNetwork(architecture)
    shapes: dict[str, tuple[int, ...]] = {"mask_token": (1, 1, architecture.decoder_dim)}
    shapes |= {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if architecture.head == "linear":
        return shapes
    for head in (1, 2):
        for conv in ("conv1", "conv2"):
            unit = f"downstream_head{head}.dpt.scratch.refinenet4.resConfUnit1.{conv}"
            shapes[f"{unit}.weight"] = (FUSION_CHANNELS, FUSION_CHANNELS, 3, 3)
            shapes[f"{unit}.bias"] = (FUSION_CHANNELS,)
    return shapes | {alias: shapes[name] for alias, name in ALIASES.items()}
