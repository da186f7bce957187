"""The retrieval head, and ASMK on stored descriptors."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.asmk import aggregate
from retrieval.codebook import Codebook
from retrieval.index import RetrievalIndex
from sfm.mast3r.network.retrieval_head import RetrievalHead
from sfm.mast3r.network.retrieval_weights import RetrievalHeadWeights

from . import recipe
from .case import Case, compare, count
from .network import arrays, full_image
from .networks import build, full_manifest, read_manifest

Arrays = dict[str, NDArray[np.float32]]

close = partial(compare, atol=1e-5, rtol=1e-5)
score = partial(compare, atol=1e-6)
_HIDDEN = {"tiny_proj_residual_post": (64, 128)}
"""Hidden widths of the one head that has a projector, which no file holds."""


@torch.inference_mode()
def cases(folder: Path, *, device: str = "cpu") -> Iterator[Case]:
    """`retrieval/head.npz`, `retrieval/asmk.npz` and `full/retrieval_*.npz`."""
    head = folder / "retrieval" / "head.npz"
    if head.is_file():
        yield from _heads(folder, arrays(head), device)
    asmk = folder / "retrieval" / "asmk.npz"
    if asmk.is_file():
        yield from _asmk(arrays(asmk))
    yield from _full(folder, device)


def _heads(folder: Path, file: Arrays, device: str) -> Iterator[Case]:
    for name in sorted(key.removesuffix("_local_feat") for key in file if key.endswith("_local_feat")):
        expected = _of(name, file)
        if "feat_in" in expected:
            tokens = torch.from_numpy(expected["feat_in"]).to(device)
        else:
            network, _ = build(folder / "tiny" / "manifest.json", device)
            tokens = network.encode(torch.from_numpy(expected["img"]).to(device))
            yield close(f"head {name} backbone_feat", tokens.cpu(), expected["backbone_feat"])
        retrieval = _head(folder, tokens, _HIDDEN.get(name, ()))
        descriptors, attention = (tensor.cpu() for tensor in retrieval.features(tokens))
        number = expected["local_attn"].shape[1]
        local, strongest, rows = (tensor.cpu() for tensor in retrieval.local(tokens, number))
        yield close(f"head {name} attn", attention, expected["attn"])
        for key in ("white", "feat"):
            if key in expected:
                stride = descriptors.shape[1] // expected[key].shape[1]
                yield close(f"head {name} {key}", descriptors[:, ::stride], expected[key])
        stored = expected["local_feat"]
        yield count(f"head {name} local_idx", int((rows.numpy() != expected["local_idx"]).sum()))
        yield close(f"head {name} local_attn", strongest, expected["local_attn"])
        yield close(f"head {name} local_feat", local[:, : stored.shape[1]], stored)
        yield close(f"head {name} global", retrieval.pooled(tokens).cpu(), expected["global"])


def _full(folder: Path, device: str) -> Iterator[Case]:
    manifest = full_manifest(folder)
    for path in sorted((folder / "full").glob("retrieval_*.npz")) if manifest else []:
        assert manifest is not None
        expected = arrays(path)
        network, _ = build(manifest, device)
        image = full_image(path.stem.removeprefix("retrieval_"), 1, read_manifest(manifest).seed)
        tokens = network.encode(image.to(device))
        retrieval = _head(folder, tokens, ())
        descriptors, attention = (tensor.cpu() for tensor in retrieval.features(tokens))
        yield close(f"{path.stem} attn", attention, expected["attn"])
        for key, stored in expected.items():
            top, sampled = (
                re.fullmatch(r"top(\d+)_idx", key),
                re.fullmatch(r"white_tok_s(\d+)_ch_s(\d+)", key),
            )
            if top:
                _, strongest, rows = (tensor.cpu() for tensor in retrieval.local(tokens, int(top[1])))
                yield close(f"{path.stem} top{top[1]}_attn", strongest, expected[f"top{top[1]}_attn"])
                yield count(f"{path.stem} {key}", len(set(rows[0].tolist()) ^ set(stored[0].tolist())))
            elif sampled:
                part = descriptors[:, :: int(sampled[1]), :: int(sampled[2])]
                yield close(f"{path.stem} {key}", part, stored)


def _of(name: str, file: Arrays) -> Arrays:
    return {key.removeprefix(f"{name}_"): value for key, value in file.items() if key.startswith(f"{name}_")}


def _head(folder: Path, tokens: torch.Tensor, hidden: tuple[int, ...]) -> RetrievalHead:
    seed = 0
    for manifest in (folder / "manifest_retrieval.json", folder / "tiny" / "manifest.json"):
        if manifest.is_file():
            seed = int(json.loads(manifest.read_text(encoding="utf-8")).get("seed", seed))
    return RetrievalHead(_weights(tokens.shape[-1], hidden, seed)).to(tokens.device)


def _weights(dim: int, hidden: tuple[int, ...], seed: int) -> RetrievalHeadWeights:
    """A head without training, or with a projector, a residual and a second whitening."""
    pre = recipe.retrieval_weights(dim, seed)
    projector: dict[str, torch.Tensor] = {}
    widths = (dim, *hidden)
    for i, (inputs, outputs) in enumerate(zip(widths, hidden, strict=False)):
        shapes: dict[str, tuple[int, ...]] = {
            f"{3 * i}.weight": (outputs, inputs),
            f"{3 * i}.bias": (outputs,),
        }
        if i < len(hidden) - 1:
            shapes |= {f"{3 * i + 1}.weight": (outputs,), f"{3 * i + 1}.bias": (outputs,)}
        for name, shape in shapes.items():
            projector[name] = torch.from_numpy(
                _projector_weight(f"retrieval.projector.{name}", shape, i, seed)
            )
    post = None
    if hidden:
        post = (
            torch.from_numpy(0.05 * recipe.normal("retrieval.postwhiten.m", (1, widths[-1]), seed)),
            torch.from_numpy(
                recipe.normal("retrieval.postwhiten.p", (widths[-1],) * 2, seed) / np.sqrt(widths[-1])
            ),
        )
    return RetrievalHeadWeights(
        prewhiten=(torch.from_numpy(pre["prewhiten.m"]), torch.from_numpy(pre["prewhiten.p"])),
        postwhiten=post,
        projector=projector,
        hidden_dims=hidden,
        residual=bool(hidden),
        nfeat=-0.5 if hidden else 300,
    )


def _projector_weight(name: str, shape: tuple[int, ...], layer: int, seed: int) -> NDArray[np.float32]:
    value = recipe.normal(name, shape, seed)
    if len(shape) == 2:
        value = value / np.sqrt(shape[1])
    elif name.endswith(f".{3 * layer + 1}.weight"):
        value = 1 + 0.02 * value
    else:
        value = 0.02 * value
    return value.astype(np.float32)


def _asmk(file: Arrays) -> Iterator[Case]:
    for name in sorted(key.removesuffix("_centroids") for key in file if key.endswith("_centroids")):
        expected = _of(name, file)
        codebook, owners = Codebook(expected["centroids"]), expected["imids"]
        images = {f"{i:03d}": expected["desc"][owners == i] for i in range(int(owners.max()) + 1)}
        for assignments in (1, 5):
            words = codebook.assign(expected["desc"], assignments)
            differing = int((words != expected[f"word_ids_ma{assignments}"]).sum())
            yield count(f"asmk {name} words, {assignments} each", differing)
        for image, assignments, key in (("000", 5, "query_img0"), ("001", 1, "db_img1")):
            ours = aggregate(codebook, [images[image]], assignments, binary=True)
            yield compare(f"asmk {name} {key}_words", ours.words, expected[f"{key}_words"], atol=0)
            # The reference packs into 32 bits, first bit highest.
            packed = ours.codes.view(np.uint8).view(">u4")[:, : expected[f"{key}_codes"].shape[1]]
            yield compare(f"asmk {name} {key}_codes", packed, expected[f"{key}_codes"], atol=0)
        for key, binary in (("scores", True), ("scores_nonbinary", False)):
            if key in expected:
                index = RetrievalIndex.build(codebook, images, multiple_assignment=5, binary=binary)
                scores = np.stack([index.scores(image) for image in index.names])
                yield score(f"asmk {name} {key}", scores, expected[key])
