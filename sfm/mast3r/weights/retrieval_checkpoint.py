"""The checkpoint of the retrieval head, checked strictly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from sfm.errors import WeightsError

from ..network.architecture import ArchitectureError
from ..network.retrieval_weights import RetrievalHeadWeights
from .codebook_file import num_words
from .foreign_files import WRONG_FILE
from .model_call import checked_values
from .torch_file import check_shapes, read_checkpoint, read_finite

_MAX_DIM = 16384


class _Settings(BaseModel):
    """What training was told; only heads over MASt3R's encoder, for 512 px, are read."""

    nfeat: Annotated[int, Field(ge=1)] | Annotated[float, Field(ge=-1, lt=0)]
    hdims: Annotated[str, Field(pattern=r"^([0-9]{1,5}(_[0-9]{1,5})*)?$")] | None = None
    """Widths such as "1024_512"; empty for no projector."""
    residual: Annotated[Any, AfterValidator(bool)] = False
    prewhiten: Any = None
    postwhiten: Any = None
    featweights: Literal["l2norm"] = "l2norm"
    imsize: Literal[512] = 512
    nclusters: Annotated[int, BeforeValidator(num_words)] | None = None


def load_retrieval_head(path: Path) -> RetrievalHeadWeights:
    """The retrieval head of an official `..._retrieval_trainingfree.pth`, or of one with a trained projector.

    Raises:
        WeightsError: missing, damaged, hostile, another kind of checkpoint, or with NaN or infinity.
    """
    arguments, stored = read_checkpoint(path)
    if any(name.startswith("backbone.") for name in stored):
        raise WeightsError(f"{path}: holds a network of its own; only heads over MASt3R's encoder are read")
    try:
        settings = checked_values(_Settings, arguments, "args of retrieval")
    except ArchitectureError as error:
        raise WeightsError(f"{path}: {error}", hint=WRONG_FILE) from error
    hidden = tuple(map(int, settings.hdims.split("_"))) if settings.hdims else ()
    dim = _token_dim(path, stored, hidden)
    if settings.residual and hidden and hidden[-1] != dim:
        raise WeightsError(f"{path}: a residual projector from {dim} to {hidden[-1]} channels")
    sizes = {"prewhiten": dim, "postwhiten": hidden[-1] if hidden else dim}
    whitenings = {n: size for n, size in sizes.items() if f"{n}.m" in stored or getattr(settings, n)}
    projector = _projector_shapes(dim, hidden)
    expected = dict(projector)
    for name, size in whitenings.items():
        expected |= {f"{name}.m": (1, size), f"{name}.p": (size, size)}
    check_shapes(path, stored, expected, "the retrieval head that it describes")

    def read(name: str, dtype: torch.dtype) -> torch.Tensor:
        # A copy, because the whole file is small, and whoever replaces it must not change a running network.
        return read_finite(path, name, stored[name], dtype).clone()

    pairs = {n: (read(f"{n}.m", torch.float64), read(f"{n}.p", torch.float64)) for n in whitenings}
    return RetrievalHeadWeights(
        prewhiten=pairs.get("prewhiten"),
        postwhiten=pairs.get("postwhiten"),
        projector={name.removeprefix("projector."): read(name, torch.float32) for name in projector},
        hidden_dims=hidden,
        residual=settings.residual,
        nfeat=settings.nfeat,
        image_size=settings.imsize,
        num_clusters=settings.nclusters,
    )


def _token_dim(path: Path, stored: Mapping[str, torch.Tensor], hidden: tuple[int, ...]) -> int:
    """Channels of the tokens that the head is for; wrong shapes are found afterwards."""
    name = "prewhiten.p" if "prewhiten.p" in stored else "projector.0.weight" if hidden else "postwhiten.p"
    dim = stored[name].shape[-1] if name in stored and stored[name].shape else 0
    if not all(1 <= width <= _MAX_DIM for width in (dim, *hidden)):
        raise WeightsError(f"{path}: has no {name} that tells the length of a token", hint=WRONG_FILE)
    return dim


def _projector_shapes(dim: int, hidden: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Linear, LayerNorm, GELU, again and again, and a last Linear."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(zip((dim, *hidden), hidden, strict=False)):
        place = 3 * layer
        shapes |= {f"projector.{place}.weight": (outputs, inputs), f"projector.{place}.bias": (outputs,)}
        if layer + 1 < len(hidden):
            norm = f"projector.{place + 1}"
            shapes |= {f"{norm}.weight": (outputs,), f"{norm}.bias": (outputs,)}
    return shapes
