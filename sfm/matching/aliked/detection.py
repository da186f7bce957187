"""Detection of keypoints in a map of scores, as the published ALIKED does it.

Zhao et al. 2022, "ALIKE: Accurate and Lightweight Keypoint Detection and Descriptor Extraction", section
III-C: peaks of the map, moved by the soft argmax of their window. kornia's detection keeps strict local
maxima alone, which are one or two of a hundred keypoints fewer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, max_pool2d

_RADIUS = 2
"""Pixels on each side of a peak's window."""
_TEMPERATURE = 0.1
"""Of the soft argmax, in units of scores."""
_MIN_SCORE = 0.2
"""Of keypoints; where a map has none above it, its mean."""
_NUM_SUPPRESSIONS = 2
"""Rounds that look for peaks outside the windows of those found before."""


class Detection(nn.Module):
    """Keypoints of a map of scores, the highest `max_keypoints` of them."""

    def __init__(self, max_keypoints: int) -> None:
        super().__init__()
        self.max_keypoints = max_keypoints

    def forward(
        self, scores: Tensor, image_size: None = None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Keypoints of a map (1, 1, height, width), best peak first.

        Returns lists of one item, as kornia's detection does: keypoints (n, 2) as x and y, with -1 and 1 in
        the centres of the first and last pixels, their scores (n,), and how far these spread in windows.
        """
        plane = scores[0, 0]
        height, width = plane.shape
        peaks = _peaks(plane)
        chosen = peaks & (plane > _MIN_SCORE)
        if not chosen.any():
            chosen = peaks & (plane > plane.mean())
        row, column = chosen.nonzero(as_tuple=True)
        best = plane[row, column].argsort(descending=True, stable=True)[: self.max_keypoints]
        row, column = row[best], column[best]
        steps = torch.arange(-_RADIUS, _RADIUS + 1, device=scores.device)
        windows = plane[row[:, None, None] + steps[:, None], column[:, None, None] + steps]
        weights = (windows.flatten(1) / _TEMPERATURE).softmax(dim=1)
        offsets = torch.cartesian_prod(steps, steps).flip(1).to(scores)
        moved = weights @ offsets
        spread = (weights * (offsets - moved[:, None]).square().sum(2)).sum(1) / _RADIUS**2
        xy = (torch.stack([column, row], 1) + moved) / moved.new_tensor([width - 1, height - 1]) * 2 - 1
        at = grid_sample(scores, xy[None, None].to(scores.dtype), align_corners=True)[0, 0, 0]
        return [xy], [at], [spread]


def _peaks(scores: Tensor) -> Tensor:
    """Which pixels (height, width) are the highest of their windows, those of higher peaks left out.

    Peaks whose window reaches over the border are no peaks.
    """
    found = torch.zeros_like(scores, dtype=torch.bool)
    taken = found
    for _ in range(1 + _NUM_SUPPRESSIONS):
        left = scores.masked_fill(taken, 0)
        found = found | ((left == _highest(left)) & ~taken)
        taken = _highest(found.to(scores)) > 0
    inside = torch.zeros_like(found)
    inside[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] = True
    return found & inside


def _highest(values: Tensor) -> Tensor:
    """The highest value of each pixel's window."""
    return max_pool2d(values[None], 2 * _RADIUS + 1, stride=1, padding=_RADIUS)[0]
