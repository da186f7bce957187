"""Outputs of the network's inner modules, by the names that the fixtures give them."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_NAMES = (
    (r"patch_embed|enc_norm|decoder_embed|dec_norm", "{0}"),
    (r"enc_blocks\.(\d+)", "enc_block{1:0>2}"),
    (r"dec_blocks\.(\d+)", "dec_block{1:0>2}_view1"),
    (r"dec_blocks2\.(\d+)", "dec_block{1:0>2}_view2"),
    (r"downstream_head(\d)\.dpt\.act_postprocess\.(\d)", "head{1}_act{2}"),
    (r"downstream_head(\d)\.dpt\.scratch\.layer(\d)_rn", "head{1}_layer_rn{2}"),
    (r"downstream_head(\d)\.dpt\.scratch\.refinenet(\d)", "head{1}_refinenet{2}"),
    (r"downstream_head(\d)\.dpt\.head\.(\d)", "head{1}_dpthead{2}"),
    (r"downstream_head(\d)\.head_local_features", "head{1}_mlp"),
)

Activations = dict[str, list[torch.Tensor]]
"""Outputs of each module, one for every time that it was called."""


@contextmanager
def recorded(network: nn.Module, wanted: str = ".*") -> Iterator[Activations]:
    """Fills the dictionary while the network is used within; only names that match `wanted` are kept."""
    activations: Activations = defaultdict(list)
    hooks = []
    for module_name, module in network.named_modules():
        name = _name(module_name)
        if name is not None and re.fullmatch(wanted, name):
            # A copy, because what follows may change the output in place.
            hooks.append(
                module.register_forward_hook(
                    lambda _module, _inputs, output, name=name: activations[name].append(output.clone())
                )
            )
    try:
        yield activations
    finally:
        for hook in hooks:
            hook.remove()


def find(activations: Activations, key: str) -> torch.Tensor | None:
    """The output that a fixture's key `act_NAME[_callN][__chstrideK]` means, or None if there was none."""
    match = re.fullmatch(r"act_(.+?)(?:_call(\d+))?(?:__chstride(\d+))?", key)
    calls = activations.get(match[1], []) if match else []
    call, stride = (int(match[2] or 0), int(match[3] or 1)) if match else (0, 1)
    if call >= len(calls):
        return None
    output = calls[call]
    return output[:, ::stride] if output.dim() == 4 else output[..., ::stride]


def _name(module: str) -> str | None:
    for pattern, name in _NAMES:
        match = re.fullmatch(pattern, module)
        if match:
            groups = list(match.groups())
            if "layer_rn" in name:
                groups[1] = str(int(groups[1]) - 1)
            return name.format(module, *groups)
    return None
