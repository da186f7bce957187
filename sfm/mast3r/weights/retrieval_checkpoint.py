"""The checkpoint of the retrieval head, checked strictly."""

from __future__ import annotations

from pathlib import Path

import torch

from sfm.errors import WeightsError

from ..network.retrieval_weights import RetrievalHeadWeights
from .codebook_file import num_words
from .foreign_files import require_zip
from .pickle_size import shown
from .stored_tensors import StoredTensors, check_shapes, read_finite
from .torch_file import TorchFile

_MAX_DIM = 16384
_WRONG_FILE = "`sfm weights` lists which file goes by which name"


def load_retrieval_head(path: Path) -> RetrievalHeadWeights:
    """The retrieval head of an official `..._retrieval_trainingfree.pth`, or of one with a trained projector.

    Raises:
        WeightsError: missing, damaged, hostile, another kind of checkpoint, or with NaN or infinity.
    """
    require_zip(path)
    arguments, stored = _settings_and_tensors(path)
    hidden = _hidden_dims(path, arguments.get("hdims"))
    dim = _token_dim(path, stored, hidden)
    residual = bool(arguments.get("residual"))
    if residual and hidden and hidden[-1] != dim:
        raise WeightsError(f"{path}: a residual projector from {dim} to {hidden[-1]} channels")
    whitenings = {
        name: size
        for name, size in (("prewhiten", dim), ("postwhiten", hidden[-1] if hidden else dim))
        if f"{name}.m" in stored or arguments.get(name)
    }
    projector = _projector_shapes(dim, hidden)
    expected = dict(projector)
    for name, size in whitenings.items():
        expected |= {f"{name}.m": (1, size), f"{name}.p": (size, size)}
    check_shapes(path, stored, expected, "the retrieval head that it describes")

    def read(name: str, dtype: torch.dtype) -> torch.Tensor:
        # A copy, because the whole file is small, and whoever replaces it must not change a running network.
        return read_finite(path, name, stored[name], dtype).clone()

    def whitening(name: str) -> tuple[torch.Tensor, torch.Tensor] | None:
        if name not in whitenings:
            return None
        return read(f"{name}.m", torch.float64), read(f"{name}.p", torch.float64)

    return RetrievalHeadWeights(
        prewhiten=whitening("prewhiten"),
        postwhiten=whitening("postwhiten"),
        projector={name.removeprefix("projector."): read(name, torch.float32) for name in projector},
        hidden_dims=hidden,
        residual=residual,
        nfeat=_nfeat(path, arguments["nfeat"]),
        image_size=_image_size(path, arguments.get("imsize", 512)),
        num_clusters=_num_clusters(path, arguments.get("nclusters")),
    )


def _settings_and_tensors(path: Path) -> tuple[dict[str, object], StoredTensors]:
    """What the file holds, if it is a head over MASt3R's encoder."""
    file = TorchFile(path)
    arguments = file.fields("args")
    if arguments is None or "nfeat" not in arguments:
        raise WeightsError(f"{path}: has no retrieval settings (args.nfeat)", hint=_WRONG_FILE)
    stored = file.tensors("model")
    if any(name.startswith("backbone.") for name in stored):
        raise WeightsError(f"{path}: holds a network of its own; only heads over MASt3R's encoder are read")
    if arguments.get("featweights", "l2norm") != "l2norm":
        raise WeightsError(f"{path}: args.featweights is {shown(arguments['featweights'])}, expected l2norm")
    return arguments, stored


def _token_dim(path: Path, stored: StoredTensors, hidden: tuple[int, ...]) -> int:
    """Channels of the tokens that the head is for; wrong shapes are found afterwards."""
    name = "prewhiten.p" if "prewhiten.p" in stored else "projector.0.weight" if hidden else "postwhiten.p"
    if name not in stored or not stored[name].shape or not 1 <= stored[name].shape[-1] <= _MAX_DIM:
        raise WeightsError(f"{path}: has no {name} that tells the length of a token", hint=_WRONG_FILE)
    return stored[name].shape[-1]


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


def _hidden_dims(path: Path, value: object) -> tuple[int, ...]:
    """Widths from text such as "1024_512"; empty for no projector."""
    if value is None or value == "":
        return ()
    parts = value.split("_") if isinstance(value, str) else []
    if not parts or not all(p.isascii() and p.isdigit() and 1 <= int(p[:6]) <= _MAX_DIM for p in parts):
        raise WeightsError(f"{path}: args.hdims is {shown(value)}, expected text such as 1024_512")
    return tuple(map(int, parts))


def _nfeat(path: Path, value: object) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value >= 1 and value == value // 1:
            return int(value)
        if -1 <= value < 0:
            return float(value)
    raise WeightsError(f"{path}: args.nfeat is {shown(value)}, expected a number >= 1, or -share of all")


def _image_size(path: Path, value: object) -> int:
    if value != 512:
        raise WeightsError(f"{path}: args.imsize is {shown(value)}; only heads for 512 px are read")
    return 512


def _num_clusters(path: Path, value: object) -> int | None:
    if value is None:
        return None
    count = num_words(value)
    if count is None:
        raise WeightsError(f"{path}: args.nclusters is {shown(value)}, expected a number such as 64k")
    return count
