"""ALIKED keypoints and LightGlue matches, by kornia's networks and the authors' weights.

Zhao et al. 2023, "ALIKED: A Lighter Keypoint and Descriptor Extraction Network via Deformable
Transformation". Lindenberger et al. 2023, "LightGlue: Local Feature Matching at Light Speed".
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from sfm.config.schema import AlikedConfig
from sfm.errors import MissingDependencyError
from sfm.matching.device import choose_device

from .weights import DETECTORS, MATCHER, state_of

if TYPE_CHECKING:  # runs that need no network start without them
    import torch
    from kornia.feature import ALIKED, LightGlue

MAX_SIZE = 1024
"""Larger photos are reduced to this longer side before detection, px; panoramas to twice as much."""
_PANORAMA = 2.0
"""Ratio of the sides from which on a photo counts as two side by side: it shows that much more of a scene."""
_NUM_DIMENSIONS = 128
_HINT = "pip install 'loopsfm[aliked]', or take backend=sift"


@dataclass(frozen=True, slots=True)
class Described:
    """Keypoints of one photo, best first."""

    xy: NDArray[np.float32]
    """(n, 2), px of the photo, COLMAP's."""
    descriptors: NDArray[np.float32]
    """(n, 128), of length 1."""
    size: tuple[int, int]
    """Width and height of the photo, px."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Both networks on their device."""

    detector: ALIKED
    matcher: LightGlue
    device: torch.device

    def describe(self, image: NDArray[np.uint8]) -> Described:
        """Keypoints of an RGB image (height, width, 3)."""
        import torch
        from torch.nn.functional import interpolate

        from kernels.inference import inference

        height, width = image.shape[:2]
        longest = MAX_SIZE * (2 if max(height, width) >= _PANORAMA * min(height, width) else 1)
        pixels = torch.from_numpy(image.copy()).to(self.device).permute(2, 0, 1)[None].float() / 255
        factor = min(longest / max(height, width), 1.0)
        if factor < 1:
            size = (round(height * factor), round(width * factor))
            pixels = interpolate(pixels, size, mode="bilinear", antialias=True)
        with inference(self.device):
            (found,) = self.detector(pixels)
        order = torch.argsort(found.keypoint_scores, descending=True, stable=True)
        scale = torch.tensor([width / pixels.shape[3], height / pixels.shape[2]], device=self.device)
        # The centre of the first pixel is (0, 0) there and (0.5, 0.5) in COLMAP.
        xy = (found.keypoints[order] + 0.5) * scale
        return Described(xy.cpu().numpy(), found.descriptors[order].cpu().numpy(), (width, height))

    def match(self, a: Described, b: Described) -> NDArray[np.uint32]:
        """Matches (m, 2) of two photos, as indices of their keypoints."""
        if min(len(a.xy), len(b.xy)) == 0:
            return np.zeros((0, 2), np.uint32)
        from kernels.inference import inference

        with inference(self.device):
            found = self.matcher({"image0": self._features(a), "image1": self._features(b)})["matches"][0]
        return np.asarray(found.cpu().numpy(), np.uint32)

    def _features(self, of: Described) -> dict[str, torch.Tensor]:
        import torch

        return {
            "keypoints": torch.from_numpy(of.xy - 0.5).to(self.device)[None],
            "descriptors": torch.from_numpy(of.descriptors).to(self.device)[None],
            "image_size": torch.tensor([of.size], dtype=torch.float32, device=self.device),
        }


def open_networks(config: AlikedConfig, num_threads: int = 1) -> Networks:
    """Load both networks, which use so many threads.

    Raises:
        MissingDependencyError: kornia is not installed, or the device is not there.
        WeightsError: a file of weights is missing or not the published one.
    """
    if importlib.util.find_spec("kornia") is None:
        raise MissingDependencyError("backend=aliked needs kornia, which is not installed", hint=_HINT)
    import torch
    from kornia.feature import ALIKED, LightGlue
    from kornia.feature.aliked.aliked import DKD

    from .cpu import quicken_on_cpu
    from .detection import Detection

    torch.set_num_threads(num_threads)
    device = choose_device(config.device, "internal.aliked.device")
    weights = DETECTORS[config.detector]
    detector = ALIKED(model_name=weights.stem)
    detector.dkd = cast(DKD, Detection(config.max_keypoints))
    detector.load_state_dict(state_of(weights))
    # None, whatever its annotation says: a name would fetch weights from the network.
    matcher = LightGlue(features=cast(str, None), weights=None, input_dim=_NUM_DIMENSIONS)
    matcher.load_state_dict(_renamed(state_of(MATCHER), matcher.conf.n_layers), strict=False)
    if device.type == "cpu":
        quicken_on_cpu(detector, matcher)
    else:
        _match_as_on_cpu(matcher)
    return Networks(detector.eval().to(device), matcher.eval().to(device), device)


def _match_as_on_cpu(matcher: LightGlue) -> None:
    """Attention in float32, and points pruned as soon as on a CPU, so that matches are the same.

    On CUDA, kornia rounds attention to float16. On an H200 that was also 40 times slower: PyTorch planned
    anew for almost each number of points.
    """
    from kornia.feature.lightglue import Attention

    for module in matcher.modules():
        if isinstance(module, Attention):
            module.allow_flash = False
    always = dict.fromkeys(matcher.pruning_keypoint_thresholds, -1)
    matcher.pruning_keypoint_thresholds = always  # type: ignore[misc]


def _renamed(state: dict[str, torch.Tensor], num_layers: int) -> dict[str, torch.Tensor]:
    """Published entries by the names of kornia, which has both attentions of a layer in one module."""
    names = {
        f"{kind}.{layer}.": f"transformers.{layer}.{kind}."
        for layer in range(num_layers)
        for kind in ("self_attn", "cross_attn")
    }
    return {
        next((new + key.removeprefix(old) for old, new in names.items() if key.startswith(old)), key): value
        for key, value in state.items()
    }
