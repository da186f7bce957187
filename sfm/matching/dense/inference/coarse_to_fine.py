"""Matches of a pair of large photos, found again in windows of them (MASt3R §3.4, coarse to fine)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from retrieval import Pair
from sfm.config.schema import Mast3rConfig
from sfm.mast3r.network.predictor import EncodedPhoto, PairPredictor
from sfm.mast3r.values import DenseMatches

from ..tracks.joining import joined
from .decoded_direction import DecodedDirection, matches_of_both
from .memory import guess_batch, in_batches
from .window_tokens import WindowTokens
from .windows import Windows, choose_pairs

log = logging.getLogger(__name__)

WindowPair = tuple[int, int]
"""Indices of a window of the first photo and of one of the second."""


@dataclass(slots=True)
class WindowMatcher:
    """Refines matches pair by pair; see `__call__`."""

    predictor: PairPredictor
    config: Mast3rConfig
    tokens: WindowTokens
    num_decoded: int = 0
    """Directions of pairs of windows that went through the decoder so far."""

    def __call__(self, pair: Pair, coarse: DenseMatches, agreeing: DenseMatches) -> DenseMatches:
        """Matches of the windows, photo px, and those of the whole photos (`coarse`) where windows have none.

        Windows that cannot be read, encoded or matched are left out. Windows are chosen by `agreeing`, a
        sample of the reliable ones of `coarse`.
        """
        a, b = self.tokens.windows(pair.a), self.tokens.windows(pair.b)
        if not (a.maps or b.maps):
            return coarse
        chosen = choose_pairs(a.inside(agreeing.xy_a), b.inside(agreeing.xy_b), self.config.max_windows)
        with torch.inference_mode():
            found = self._match(pair, chosen, (a, b))
        if not found:
            return coarse
        step = self.config.subsample_px
        fine = step * a.photo_px, step * b.photo_px
        whole = step * a.photo.photo_px, step * b.photo.photo_px
        return joined([*((found[i, j], fine) for i, j in chosen if (i, j) in found), (coarse, whole)])

    def _match(
        self, pair: Pair, chosen: Sequence[WindowPair], windows: tuple[Windows, Windows]
    ) -> dict[WindowPair, DenseMatches]:
        first = self.tokens.encoded(pair.a, sorted({i for i, _ in chosen}))
        second = self.tokens.encoded(pair.b, sorted({j for _, j in chosen}))
        todo = [(i, j) for i, j in chosen if i in first and j in second]
        pixels = sum(w.size[0] * w.size[1] for w in windows)
        batch = self.config.batch_size or guess_batch(pixels, self.predictor.device)
        found: dict[WindowPair, DenseMatches] = {}

        def infer(some: Sequence[WindowPair]) -> dict[WindowPair, DenseMatches]:
            return self._infer(some, first, second, windows)

        def give_up(some: Sequence[WindowPair], why: str) -> None:
            log.warning("%s, %s: windows %s are left out: %s", *pair, some[0], why)

        for matches in in_batches(todo, batch, infer, give_up):
            found |= matches
        return found

    def _infer(
        self,
        some: Sequence[WindowPair],
        first: Mapping[int, EncodedPhoto],
        second: Mapping[int, EncodedPhoto],
        windows: tuple[Windows, Windows],
    ) -> dict[WindowPair, DenseMatches]:
        forward = self._decode([first[i] for i, _ in some], [second[j] for _, j in some], range(len(some)), 1)
        rows = [row for row in range(len(some)) if forward.is_promising(row)]
        if not rows:
            return {}
        chosen = [some[row] for row in rows]
        backward = self._decode([second[j] for _, j in chosen], [first[i] for i, _ in chosen], rows, 2)
        found = {}
        for row in rows:
            if backward.is_finite(row):
                i, j = some[row]
                maps = windows[0].photo_map(i), windows[1].photo_map(j)
                found[i, j] = matches_of_both(forward, backward, row, maps)
        return found

    def _decode(
        self,
        views1: Sequence[EncodedPhoto],
        views2: Sequence[EncodedPhoto],
        rows: Sequence[int],
        first_is: int,
    ) -> DecodedDirection:
        decoded = self.predictor.decode(views1, views2)
        self.num_decoded += len(rows)
        return DecodedDirection(decoded, rows, self.config, first_is=first_is)
