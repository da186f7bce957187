"""Guides from a model for two photos that are to be matched: where a keypoint's partner must lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Pair


@dataclass(frozen=True, slots=True, eq=False)
class GuideView:
    """One photo as the model sees it.

    camera: with the model's intrinsics.
    observed: (k, 3) float64, image position (px) and depth of the points of the model that it observes.
    error_px: root mean square reprojection error of these.
    """

    camera: pycolmap.Camera
    observed: NDArray[np.float64]
    error_px: float


@dataclass(frozen=True, slots=True)
class Guide:
    """The relative pose of the two photos of a pair in one model, in the order of the pair."""

    b_from_a: pycolmap.Rigid3d
    """cam_b_from_cam_a, in the model's unit, as the depths are."""
    a: GuideView
    b: GuideView


Guides = Mapping[Pair, Guide]

NO_GUIDES: Guides = MappingProxyType({})
