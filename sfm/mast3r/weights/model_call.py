"""Reading a network's architecture from a checkpoint's own description of itself.

Official checkpoints describe their network as the text of a Python constructor call. It is parsed here, never
evaluated: only literals, `inf` and `-inf` are understood.
"""

from __future__ import annotations

import ast
import logging
import math
import re
from collections.abc import Mapping
from typing import Final

from ..network.architecture import PATCH_SIZE, ArchitectureError, NetworkArchitecture

log = logging.getLogger(__name__)

_MAX_TEXT = 4096
_LISTED = 4
_CLASS = "AsymmetricMASt3R"
_PATCH_EMBEDS = ("ManyAR_PatchEmbed", "PatchEmbedDust3R")


def parse_model_call(text: str) -> NetworkArchitecture:
    """The network that a checkpoint's `args.model` describes, without evaluating anything of it.

    Args:
        text: a constructor call, `AsymmetricMASt3R(pos_embed='RoPE100', enc_embed_dim=1024, ...)`.

    Raises:
        ArchitectureError: anything but one such call with known keywords and plain values, keywords that are
            missing, or sizes that no real network has.
    """
    if len(text) > _MAX_TEXT:
        raise ArchitectureError(
            f"network description: {len(text)} characters long, at most {_MAX_TEXT} expected"
        )
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ArchitectureError(f"network description is not a constructor call: {_shown(text)}") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != _CLASS:
        raise ArchitectureError(f"network description is not a call of {_CLASS}: {_shown(text)}")
    if call.args:
        raise ArchitectureError(f"network description: only keyword arguments are understood: {_shown(text)}")
    arguments: dict[str, object] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ArchitectureError("network description: `**` is not understood")
        if keyword.arg in arguments:
            raise ArchitectureError(f"network description: {_shown(keyword.arg)} is given twice")
        arguments[keyword.arg] = _value(keyword.arg, keyword.value)
    return _from_arguments(arguments)


def from_hub_config(config: Mapping[str, object]) -> NetworkArchitecture:
    """The network that the `config.json` beside a `model.safetensors` describes.

    Args:
        config: arguments as in `parse_model_call`; infinities as numbers or as "inf" and "-inf". What is
            known to be about the file and not the network is passed over with a warning.

    Raises:
        ArchitectureError: as `parse_model_call`.
    """
    extra = sorted(_OF_THE_FILE & config.keys())
    if extra:
        log.warning("network description: passed over, as of the file only: %s", ", ".join(extra))
    return _from_arguments({name: value for name, value in config.items() if name not in _OF_THE_FILE})


class _Infinities(ast.NodeTransformer):
    """Turns the name `inf` into a number, which makes such a value a literal."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(math.inf) if node.id == "inf" else node


def _value(name: str, node: ast.expr) -> object:
    """A literal, in which `inf` may stand for a number."""
    try:
        return ast.literal_eval(_Infinities().visit(node))
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ArchitectureError(f"network description: {name} must be a plain value") from error


_SIZES: Final = {
    "enc_embed_dim": ("encoder_dim", 768),
    "enc_depth": ("encoder_depth", 12),
    "enc_num_heads": ("encoder_heads", 12),
    "dec_embed_dim": ("decoder_dim", 512),
    "dec_depth": ("decoder_depth", 8),
    "dec_num_heads": ("decoder_heads", 16),
    "mlp_ratio": ("mlp_ratio", 4),
}
"""Our names, and the sizes that hold where a description is silent."""

_OF_THE_FILE: Final = frozenset(
    {"_commit_hash", "docs_url", "library_name", "license", "paper_url", "pipeline_tag", "repo_url", "tags"}
)
"""What hubs add to a configuration, about the file. Everything else that is unknown is refused: an activation
or a normalisation changes what a network computes, and neither names nor shapes of its tensors would tell."""

_AS_ALWAYS: Final = {"desc_mode": "norm", "freeze": "none"}
"""Defaults of the constructors that the hub's own writer spells out: descriptors of unit length, and nothing
frozen in training. Any other value is another network, or one that is trained otherwise."""


def _from_arguments(arguments: Mapping[str, object]) -> NetworkArchitecture:
    left = dict(arguments)
    sizes = {ours: _integer(name, left.pop(name, size)) for name, (ours, size) in _SIZES.items()}
    rope = _pattern(left, "pos_embed", r"RoPE(\d{1,9}(?:\.\d{1,9})?)", "RoPE100")
    _pattern(left, "head_type", r"catmlp\+dpt", "catmlp+dpt")
    descriptor = _pattern(left, "output_mode", r"pts3d\+desc(\d{1,9})", "pts3d+desc24")
    _choice(left, "patch_embed_cls", *_PATCH_EMBEDS)
    _choice(left, "landscape_only", True, False)
    for name, value in _AS_ALWAYS.items():
        _require(left, name, value)
    # Only a sanity check of the authors' code reads it: the network takes every multiple of the patch.
    left.pop("img_size", None)
    if _integer("patch_size", left.pop("patch_size", PATCH_SIZE)) != PATCH_SIZE:
        raise ArchitectureError(f"network description: patch_size must be {PATCH_SIZE}")
    if _mode(left, "depth_mode", -math.inf) != -math.inf:
        raise ArchitectureError("network description: depth_mode must be ('exp', -inf, inf)")
    conf = _mode(left, "conf_mode", 1.0)
    desc_conf = conf if left.get("desc_conf_mode") is None else _mode(left, "desc_conf_mode", conf)
    left.pop("desc_conf_mode", None)
    two_confs = _choice(left, "two_confs", True, False)
    if left:
        names = sorted(_shown(name) for name in left)
        unknown = ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")
        raise ArchitectureError(
            f"network description: unknown arguments {unknown}; this may be another kind of network"
        )
    return NetworkArchitecture(
        **sizes,
        descriptor_dim=int(descriptor),
        two_confs=bool(two_confs),
        rope_base=float(rope),
        conf_floor=conf,
        desc_conf_floor=desc_conf,
    )


def _integer(name: str, value: object) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or value != value // 1
        or abs(value) > 1e9
    ):
        raise ArchitectureError(f"network description: {name} must be a whole number, not {_shown(value)}")
    return int(value)


def _pattern(left: dict[str, object], name: str, pattern: str, example: str) -> str:
    if name not in left:
        raise ArchitectureError(f"network description: {name} is missing, such as {name}='{example}'")
    value = left.pop(name)
    found = re.fullmatch(pattern, value, re.ASCII) if isinstance(value, str) else None
    if found is None:
        raise ArchitectureError(f"network description: {name} must be like '{example}', not {_shown(value)}")
    return found[found.lastindex or 0]


def _choice(left: dict[str, object], name: str, *choices: object) -> object:
    value = left.pop(name, None)
    if value is not None and not any(type(value) is type(c) and value == c for c in choices):
        options = " or ".join(map(str, choices))
        raise ArchitectureError(f"network description: {name} must be {options}, not {_shown(value)}")
    return value


def _require(left: dict[str, object], name: str, only: str) -> None:
    value = left.pop(name, only)
    if value != only:
        raise ArchitectureError(f"network description: {name} must be '{only}', not {_shown(value)}")


def _mode(left: dict[str, object], name: str, default: float) -> float:
    """The lower end of an output mode ('exp', low, inf)."""
    value = left.pop(name, None)
    if value is None:
        return default
    if isinstance(value, tuple | list) and len(value) == 3 and value[0] == "exp":
        low, high = (_number(name, end) for end in value[1:])
        if high == math.inf:
            return low
    raise ArchitectureError(f"network description: {name} must be ('exp', low, inf), not {_shown(value)}")


def _number(name: str, value: object) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise ArchitectureError(f"network description: {name}: {_shown(value)} is not a number")


def _shown(value: object) -> str:
    """Something foreign, short, printable and on one line."""
    try:
        text = " ".join((value if isinstance(value, str) else repr(value)).split())
    except (ValueError, RecursionError):
        return f"an enormous {type(value).__name__}"
    text = "".join(letter if letter.isprintable() else "?" for letter in text[:81])
    return text if len(text) <= 80 else f"{text[:80]} ..."
