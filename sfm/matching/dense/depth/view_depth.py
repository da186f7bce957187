"""Depth of one photo at every pixel of the network's image, merged from pairs with a few other photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.values import ViewDepth

from ..inference.memory import guess_batch, in_batches
from ..inference.photos import EncodedPhotos
from .depth_maps import merged_depth


class NoDepthError(Exception):
    """A photo that no pair gives depth of, with the reason."""


@dataclass(frozen=True, slots=True)
class ViewInference:
    """Asks the network for the points of single photos."""

    predictor: PairPredictor
    photos: EncodedPhotos
    batch_size: int | None = None
    """Pairs at a time; None: by free memory."""

    def depth(self, name: str, partners: Sequence[str]) -> ViewDepth:
        """Depth of a photo in its own camera frame, from the direction of each pair in which it is view 1.

        The pairs' depths are scaled to each other before they are averaged (`merged_depth`): two pairs of
        one photo differ more in scale than in shape.

        Args:
            partners: photos that show the same place, the best first.

        Returns:
            Depth (H, W) in the network's unit, NaN where unknown, and confidence (H, W) > 1; stride 1.

        Raises:
            NoDepthError: there are no partners, or nothing finite came of them.
        """
        reasons = [] if partners else ["no other photo of the model shares points with it"]
        views = dict(self._views(name, partners, reasons))
        if not views:
            raise NoDepthError(reasons[0])
        return merged_depth([views[partner] for partner in partners if partner in views])

    def _views(
        self, name: str, partners: Sequence[str], reasons: list[str]
    ) -> Iterator[tuple[str, ViewDepth]]:
        sizes = self.photos.maps

        def give_up(_: Sequence[str], why: str) -> None:
            reasons.append(why)

        def infer(some: Sequence[str]) -> list[tuple[str, ViewDepth | None]]:
            return [(partner, view) for partner, view in zip(some, self._infer(name, some), strict=True)]

        for size, group in groupby(sorted(partners, key=lambda p: sizes[p].size), lambda p: sizes[p].size):
            members = list(group)
            pixels = size[0] * size[1] + sizes[name].size[0] * sizes[name].size[1]
            batch = self.batch_size or guess_batch(pixels, self.predictor.device)
            for found in in_batches(members, batch, infer, give_up):
                for partner, view in found:
                    if view is None:
                        reasons.append("the network's points are not finite; try mast3r.precision=fp32")
                    else:
                        yield partner, view

    def _infer(self, name: str, partners: Sequence[str]) -> list[ViewDepth | None]:
        with torch.inference_mode():
            first = [self.photos[name]] * len(partners)
            decoded = self.predictor.decode(first, [self.photos[partner] for partner in partners])
            points, confidence = decoded.points(1)
            depth, certain = points[..., 2].float().cpu().numpy(), confidence.float().cpu().numpy()
        known = np.isfinite(depth) & np.isfinite(certain) & (depth > 0)
        depth, certain = np.where(known, depth, np.nan), np.where(known, certain, 1.0)
        return [
            ViewDepth(d, c, 1, float("nan")) if ok.any() else None
            for d, c, ok in zip(depth.astype(np.float32), certain.astype(np.float32), known, strict=True)
        ]
