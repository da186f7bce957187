"""Outputs and inner activations of the network, small and full-size."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfm.mast3r.network.network import Mast3rNetwork, ViewLayers

from . import recipe
from .activations import find, recorded
from .case import Case, compare, count
from .networks import build, full_manifest, read_manifest

Outputs = dict[str, Tensor]
"""pts3d, conf, desc and desc_conf of one view."""

close = partial(compare, atol=5e-5, rtol=1e-4)
exact = partial(compare, atol=1e-12, rtol=1e-12)
"""With float64 on both sides only the order of sums is left to differ."""


@torch.inference_mode()
def cases(folder: Path, *, device: str = "cpu") -> Iterator[Case]:
    """Everything under `tiny/` and `full/`."""
    yield from _small(folder, device)
    yield from _full(folder, device)


def _small(folder: Path, device: str) -> Iterator[Case]:
    manifest = folder / "tiny" / "manifest.json"
    if not manifest.is_file():
        return
    network, differing = build(manifest, device)
    yield count("tiny weights", differing)
    for path in sorted((folder / "tiny").glob("*.npz")):
        file = arrays(path)
        if path.stem.endswith("_float64"):
            continue
        if "true_shape1" in file:
            yield from _training_batch(network, f"tiny/{path.stem}", file, device)
            continue
        image1, image2 = (torch.from_numpy(file[key]).to(device) for key in ("img1", "img2"))
        with recorded(network) as activations:
            views = _decoded(network, image1, image2)
            outputs = _heads(network, views)
        for key, expected in file.items():
            name = f"tiny/{path.stem} {key}"
            if key.startswith("out"):
                view, _, output = key.partition("_")
                yield close(name, outputs[int(view[3:]) - 1][output].cpu(), expected)
            elif key.startswith("act_"):
                found = find(activations, key)
                yield close(name, np.nan if found is None else found.cpu(), expected)
    if device != "mps":
        yield from _small_float64(folder, manifest, device)


def _small_float64(folder: Path, manifest: Path, device: str) -> Iterator[Case]:
    for path in sorted((folder / "tiny").glob("*_float64.npz")):
        network, _ = build(manifest, device, torch.float64)
        images = arrays(path.with_name(path.name.replace("_float64", "")))
        image1, image2 = (torch.from_numpy(images[key]).double().to(device) for key in ("img1", "img2"))
        outputs = _heads(network, _decoded(network, image1, image2))
        for key, expected in arrays(path).items():
            view, _, output = key.partition("_")
            yield exact(f"tiny/{path.stem} {key}", outputs[int(view[3:]) - 1][output].cpu(), expected)


def _training_batch(
    network: Mast3rNetwork, name: str, file: dict[str, NDArray[np.float32]], device: str
) -> Iterator[Case]:
    """Portrait photos lie transposed in training batches; the network sees them upright, pair by pair."""
    for row in range(len(file["img1"])):
        images, turned = [], []
        for view in (1, 2):
            image = torch.from_numpy(file[f"img{view}"][row : row + 1]).to(device)
            turned.append(tuple(file[f"true_shape{view}"][row]) != image.shape[-2:])
            images.append(image.transpose(2, 3) if turned[-1] else image)
        outputs = _heads(network, _decoded(network, *images))
        for key, expected in file.items():
            view_name, _, output = key.partition("_")
            if not view_name.startswith("out"):
                continue
            view = int(view_name[3:]) - 1
            actual = outputs[view][output.removesuffix("_in_other_view")]
            if turned[view]:
                actual = actual.transpose(1, 2)
            yield close(f"{name} {key} row {row}", actual[0].cpu(), expected[row])


def _full(folder: Path, device: str) -> Iterator[Case]:
    """Cases `NAME.npz`, each with its `NAME_float64.npz`; photos are made from name and size."""
    manifest = full_manifest(folder)
    paths = [
        path for path in sorted((folder / "full").glob("*.npz")) if not path.stem.startswith("retrieval_")
    ]
    if manifest is None or not paths:
        return
    network, differing = build(manifest, device)
    yield count("full weights", differing)
    for name in sorted({path.stem.removesuffix("_float64") for path in paths}):
        image1, image2 = (full_image(name, view, read_manifest(manifest).seed).to(device) for view in (1, 2))
        with recorded(network, "dec_block.*|dec_norm") as activations:
            views = _decoded(network, image1, image2)
            tokens1, tokens2 = (view.layers[0] for view in views)
            outputs = dict(zip(("res11", "res21"), _heads(network, views), strict=True))
        depth = network.architecture.decoder_depth
        lists = {"enc1": tokens1, "enc2": tokens2}
        for view, tokens in ((1, tokens1), (2, tokens2)):
            lists[f"decout0_view{view}"] = tokens
            lists[f"decout{depth}_view{view}"] = activations["dec_norm"][view - 1]
            for layer in range(1, depth):
                lists[f"decout{layer}_view{view}"] = activations[f"dec_block{layer - 1:0>2}_view{view}"][0]
        size1, size2 = views[0].size, views[1].size
        swapped = network.decode(tokens2, size2, tokens1, size1)
        outputs |= zip(("res22", "res12"), _heads(network, swapped), strict=True)
        for path in paths:
            if path.stem.removesuffix("_float64") == name:
                yield from _compared(path, outputs, lists, close, "")
    if device != "mps":
        yield from _full_float64(folder, manifest, device)


def _full_float64(folder: Path, manifest: Path, device: str) -> Iterator[Case]:
    """The same fixtures once more with both sides in float64; 5.2 GB of weights."""
    paths = sorted((folder / "full").glob("*_float64.npz"))
    if not paths:
        return
    network = build(manifest, device)[0].double()
    build.cache_clear()
    for path in paths:
        name = path.stem.removesuffix("_float64")
        image1, image2 = (
            full_image(name, view, read_manifest(manifest).seed).to(device).double() for view in (1, 2)
        )
        outputs = dict(
            zip(("res11", "res21"), _heads(network, _decoded(network, image1, image2)), strict=True)
        )
        yield from _compared(path, outputs, {}, exact, " in float64")


def _compared(
    path: Path, outputs: dict[str, Outputs], lists: dict[str, Tensor], near: Callable[..., Case], suffix: str
) -> Iterator[Case]:
    for key, stored in arrays(path).items():
        actual, expected = _sampled(key, stored, outputs, lists)
        yield near(f"full/{path.stem} {key}{suffix}", actual, expected)


def full_image(name: str, view: int, seed: int) -> Tensor:
    """The photo of a full-size case, (1, 3, H, W); `name` holds WIDTHxHEIGHT."""
    found = re.search(r"(\d+)x(\d+)$", name)
    if found is None:
        raise ValueError(f"full/{name}: no size in the name")
    return torch.from_numpy(recipe.image(f"F{view}{name}", int(found[2]), int(found[1]), seed, 1))


def _sampled(
    key: str, stored: NDArray[np.floating], outputs: dict[str, Outputs], lists: dict[str, Tensor]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What a key of a full-size fixture means, every n-th value or statistics, and what it should be."""
    tokens = re.fullmatch(r"(.+)_tok_s(\d+)_ch_s(\d+)", key)
    if tokens and tokens[1] in lists:
        return lists[tokens[1]][:, :: int(tokens[2]), :: int(tokens[3])].cpu().numpy(), stored
    found = re.fullmatch(r"(res\d\d)_(.+)_(?:s(\d+)|stats)", key)
    if found is None or found[2] not in outputs.get(found[1], {}):
        raise ValueError(f"full fixture: unknown key {key}")
    values = outputs[found[1]][found[2]].cpu().double().numpy()
    if found[3]:
        return values[:, :: int(found[3]), :: int(found[3])], stored
    # The last of the five is stored as a sum; as a mean its error is comparable with the others'.
    statistics = [values.mean(), values.std(), values.min(), values.max(), np.abs(values).mean()]
    return np.array(statistics), stored / np.array([1, 1, 1, 1, values.size])


def _decoded(network: Mast3rNetwork, image1: Tensor, image2: Tensor) -> tuple[ViewLayers, ViewLayers]:
    """One direction; photos of one size are encoded together, as the fixtures' activations were."""
    size1, size2 = ((image.shape[2], image.shape[3]) for image in (image1, image2))
    if size1 == size2:
        tokens1, tokens2 = network.encode(torch.cat((image1, image2))).chunk(2)
    else:
        tokens1, tokens2 = network.encode(image1), network.encode(image2)
    return network.decode(tokens1, size1, tokens2, size2)


def _heads(network: Mast3rNetwork, views: tuple[ViewLayers, ViewLayers]) -> list[Outputs]:
    outputs = []
    for view, layers in enumerate(views, start=1):
        points, confidence = network.points(view, layers)
        descriptors, descriptor_confidence = network.descriptors(view, layers)
        outputs.append(
            {"pts3d": points, "conf": confidence, "desc": descriptors, "desc_conf": descriptor_confidence}
        )
    return outputs


def arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """All arrays of a file of NumPy's."""
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
