"""Matches of all pixels of a model's photos, each photo's with its partners."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.exports.view_maps import Grid
from sfm.exports.view_network import ViewNetwork
from sfm.mast3r.values import DenseMatches
from sfm.matching.dense.inference.coarse_to_fine import WindowMatcher
from sfm.matching.dense.inference.inference import PairInference
from sfm.matching.dense.inference.masking import load_masks, without_masked
from sfm.matching.dense.inference.window_tokens import WindowTokens


@dataclass(slots=True)
class PixelMatches:
    """Matches of photos, asked for photo by photo; a pair that both photos want is inferred once."""

    model: pycolmap.Reconstruction
    network: ViewNetwork
    partners: Mapping[int, Sequence[int]]
    """Of each photo that will be asked for, by image id."""
    folder: Path
    """Keeps matches, 20 bytes each, of pairs whose other photo was not asked for yet."""
    full_size: bool
    """Photos larger than the network's images are matched in windows (MASt3R §3.4)."""
    _tokens: WindowTokens = field(init=False, repr=False)
    _inference: PairInference = field(init=False, repr=False)
    _asked: set[int] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        photos, predictor = self.network.inference.photos, self.network.loaded.predictor
        # A single pair of photos at a time: every pixel starts a match, not one in 64.
        dense = replace(self.network.photos.dense, subsample_px=1, one_direction_first=False, batch_size=1)
        self._tokens = WindowTokens(photos, dense.max_windows)
        finer = WindowMatcher(predictor, dense, self._tokens) if self.full_size else None
        self._inference = PairInference(predictor, photos, dense, finer)

    def grid(self, image_id: int) -> Grid:
        """The pixels that matches of a photo start from."""
        name = self.model.image(image_id).name
        windows = self._tokens.windows(name)
        if not (self.full_size and windows.maps):
            return Grid.of_network(self.network.maps[name])
        size = windows.resized if windows.photo.orientation < 5 else windows.resized[::-1]
        width, height = windows.photo.stored_size
        return Grid((width / size[0], height / size[1]), (0.0, 0.0), size)

    def of(
        self, image_id: int, advance: Callable[[int], None] = lambda _count: None
    ) -> Mapping[int, DenseMatches]:
        """Matches of a photo, as the first, by partner; without partners that do not match it.

        Args:
            image_id: of the photo.
            advance: told of the partners that are done, as many at a time as are.
        """
        self._asked.add(image_id)
        found = {
            other: kept
            for other in self.partners[image_id]
            if (kept := self._taken(image_id, other)) is not None
        }
        name = self.model.image(image_id).name
        todo = {
            Pair.of(name, self.model.image(other).name): other
            for other in self.partners[image_id]
            if other not in found
        }
        advance(len(found))
        for pair, result in self._inference.run(list(todo), lambda *_: False):
            photos = {end: self.network.photos.photos[end] for end in pair}
            matches = without_masked(pair, result.matches, load_masks(photos))
            advance(1)
            if len(matches.confidence):
                other = todo[pair]
                found[other] = matches if pair.a == name else matches.swapped()
                self._keep(image_id, other, found[other])
        return found

    def _keep(self, image_id: int, other: int, matches: DenseMatches) -> None:
        if other not in self._asked and image_id in self.partners.get(other, ()):
            rows = np.column_stack((matches.xy_a, matches.xy_b, matches.confidence))
            np.save(self.folder / f"{image_id}_{other}.npy", rows.astype(np.float32))

    def _taken(self, image_id: int, other: int) -> DenseMatches | None:
        path = self.folder / f"{other}_{image_id}.npy"
        if not path.is_file():
            return None
        rows = np.load(path)
        path.unlink()
        return DenseMatches(rows[:, 2:4], rows[:, :2], rows[:, 4])
