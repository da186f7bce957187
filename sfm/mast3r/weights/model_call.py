"""Reading a network's architecture from a checkpoint's own description of itself.

Official checkpoints describe their network as the text of a Python constructor call. It is parsed here, never
evaluated: only literals, `inf` and `-inf` are understood.
"""

import ast
import logging
import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError

from sfm.untrusted.numbers import shown

from ..network.architecture import ArchitectureError, Head, NetworkArchitecture
from .foreign_files import printable

log = logging.getLogger(__name__)

_MAX_TEXT = 4096
_POINTS = "pts3d"
_LISTED = 3
_CLASSES: Final = {"AsymmetricMASt3R": True, "AsymmetricCroCo3DStereo": False}
"""MASt3R's and DUSt3R's, and whether their networks have descriptors."""

_Whole = Annotated[float, Strict(), Field(multiple_of=1, ge=-1e9, le=1e9), AfterValidator(int)]
_Infinity = Annotated[float, Field(ge=math.inf)]
_Floor = Annotated[tuple[Literal["exp"], float, _Infinity], AfterValidator(lambda mode: mode[1])]
"""The lower end of an output mode ('exp', low, inf)."""
_Switch = Annotated[bool, Strict()]


def _longer_side(size: object) -> int:
    """Of an `img_size`, a number or two; 0 where it is something else."""
    sides = size if isinstance(size, (tuple, list)) else (size,)
    return max((side for side in sides if type(side) is int and side > 0), default=0)


class _Arguments(BaseModel):
    """Arguments of the constructor by our names, with the values that hold where a description is silent.

    Everything that is unknown is refused: an activation or a normalisation changes what a network computes,
    and neither names nor shapes of its tensors would tell.
    """

    model_config = ConfigDict(extra="forbid")

    encoder_dim: _Whole = Field(768, alias="enc_embed_dim")
    encoder_depth: _Whole = Field(12, alias="enc_depth")
    encoder_heads: _Whole = Field(12, alias="enc_num_heads")
    decoder_dim: _Whole = Field(512, alias="dec_embed_dim")
    decoder_depth: _Whole = Field(8, alias="dec_depth")
    decoder_heads: _Whole = Field(16, alias="dec_num_heads")
    mlp_ratio: _Whole = 4
    rope_base: Annotated[str, AfterValidator(lambda text: float(text.removeprefix("RoPE")))] = Field(
        alias="pos_embed", pattern=r"^RoPE[0-9]{1,9}(\.[0-9]{1,9})?$"
    )
    descriptor_dim: Annotated[str, AfterValidator(lambda text: int(text.removeprefix(_POINTS)[5:] or 0))] = (
        Field(alias="output_mode", pattern=r"^pts3d(\+desc[0-9]{1,9})?$")
    )
    head: Head = Field(alias="head_type")
    two_confs: _Switch | None = None
    conf_floor: _Floor | None = Field(None, alias="conf_mode")
    desc_conf_floor: _Floor | None = Field(None, alias="desc_conf_mode")
    # What follows must be as it always is, or makes no difference to what the network computes.
    patch_embed_cls: Literal["ManyAR_PatchEmbed", "PatchEmbedDust3R"] | None = None
    patch_size: Literal[16] = 16
    depth_mode: tuple[Literal["exp"], Annotated[float, Field(le=-math.inf)], _Infinity] | None = None
    desc_mode: Literal["norm"] = "norm"
    freeze: Literal["none"] = "none"
    landscape_only: _Switch | None = None
    trained_px: Annotated[int, BeforeValidator(_longer_side)] = Field(0, alias="img_size")


_OF_THE_FILE: Final = frozenset(
    {"_commit_hash", "docs_url", "library_name", "license", "paper_url", "pipeline_tag", "repo_url", "tags"}
)
"""What hubs add to a configuration, about the file."""


def parse_model_call(text: str) -> NetworkArchitecture:
    """The network that a checkpoint's `args.model` describes, without evaluating anything of it.

    Args:
        text: a constructor call, `AsymmetricMASt3R(pos_embed='RoPE100', enc_embed_dim=1024, ...)`.

    Raises:
        ArchitectureError: anything but one such call with known keywords and plain values, keywords that are
            missing, or sizes that no real network has.
    """
    if len(text) > _MAX_TEXT:
        raise ArchitectureError(f"network description: longer than {_MAX_TEXT} characters")
    try:
        match ast.parse(text.strip(), mode="eval").body:
            case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name in _CLASSES:
                values = [(k.arg, ast.literal_eval(_Infinities().visit(k.value))) for k in keywords]
            case _:
                raise ValueError(f"not a call of {' or '.join(_CLASSES)} with keywords")
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        why = printable(error)
        raise ArchitectureError(f"network description: {shown(text)} is not understood: {why}") from error
    arguments = {name: value for name, value in values if name is not None}
    if len(arguments) < len(values):
        raise ArchitectureError(f"network description: {shown(text)} has `**`, or a keyword twice")
    found = _architecture(arguments)
    if found.has_descriptors != _CLASSES[name]:
        raise ArchitectureError(f"network description: {name} does not have head_type {found.head}")
    return found


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
    return _architecture({name: value for name, value in config.items() if name not in _OF_THE_FILE})


_Model = TypeVar("_Model", bound=BaseModel)


def checked_values(model: type[_Model], values: Mapping[str, object], what: str) -> _Model:
    """Foreign values by their names, as a model describes them.

    Raises:
        ArchitectureError: naming `what`, and the first few values that are missing, unknown or wrong.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
    told = {"missing": "missing", "extra_forbidden": "unknown; this may be another kind of network"}
    found = [
        f"{printable(next(iter(problem['loc']), 'a name'))}: "
        + told.get(problem["type"], f"{problem['msg']}, not {shown(problem['input'])}")
        for problem in problems[:_LISTED]
    ]
    raise ArchitectureError(f"{what}: {'; '.join(found)}{'; ...' * (len(problems) > _LISTED)}")


class _Infinities(ast.NodeTransformer):
    """Turns the name `inf` into a number, which makes such a value a literal."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(math.inf) if node.id == "inf" else node


def _architecture(arguments: Mapping[str, object]) -> NetworkArchitecture:
    described = dict(checked_values(_Arguments, arguments, "network description"))
    known = {name: described[name] for name in NetworkArchitecture.__slots__ if described[name] is not None}
    floor = known.get("conf_floor", 1.0)
    return NetworkArchitecture(**{"two_confs": False, "conf_floor": floor, "desc_conf_floor": floor} | known)
