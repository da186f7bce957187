"""The pointmaps of a run: computed for its pairs, kept, and read as matches and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval import Pair
from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.values import ViewDepth
from sfm.matching.backend import BackendContext
from sfm.types import Collection
from sfm.workspace.workspace import content_key

from ..inference.decoded_direction import least_confidence, view_depth
from ..inference.inference import NO_MATCHES
from ..inference.masking import load_masks
from ..inference.pair_store import PairResult
from ..inference.photos import EncodedPhotos
from ..inference.token_cache import tokens_key
from .correspondences import KeptDirections
from .inference import DirectionInference
from .photo_directions import DirectionFiles

_VERSION = 1
"""Raised when a change of code changes what directions are: they are then computed again."""


@dataclass(frozen=True, slots=True)
class Pointmaps:
    """Directions of pairs of encoded photos, in the workspace's cache."""

    context: BackendContext
    predictor: PairPredictor
    photos: EncodedPhotos

    def results(self, pairs: Sequence[Pair]) -> dict[Pair, PairResult]:
        """Matches of pairs, computed where they are not kept; those of failed pairs say why."""
        failed = self.complete(pairs)
        least = self._least(self.context.config.mast3r.min_confidence)
        found = dict(self.kept().results([pair for pair in pairs if pair not in failed], least))
        lost = {pair: "its pointmaps could not be kept" for pair in pairs if pair not in found}
        return found | {pair: _failed(failed.get(pair, why)) for pair, why in lost.items()}

    def depths(self, collection: Collection) -> dict[str, list[ViewDepth]]:
        """Depth of photos, from their canonical pointmaps, of those that have one."""
        files, found = self._files(), {}
        for photo in collection.photos:
            if photo.name in self.photos.maps:
                sums = files.sums(photo.sha256, self.photos.maps[photo.name].size)
                if sums.count:
                    view = sums.view()
                    found[photo.name] = [view_depth(view.points, view.confidence)]
        return found

    def complete(self, pairs: Sequence[Pair]) -> dict[Pair, str]:
        """Compute what is not kept of pairs; returns those that failed, with the reason."""
        inference = DirectionInference(self.predictor, self.photos, self.context.config.mast3r, self._files())
        return inference.complete(pairs, self.context.progress)

    def kept(self) -> KeptDirections:
        """What is kept of all photos; reads their masks."""
        return KeptDirections(
            self._files(),
            self.photos.photos,
            self.photos.maps,
            load_masks(self.photos.photos),
            self._least(self.context.config.alignment.min_confidence),
        )

    def _least(self, configured: float) -> float:
        return least_confidence(configured, has_descriptors=self.predictor.has_descriptors)

    def _files(self) -> DirectionFiles:
        dense = self.context.config.mast3r
        key = content_key("directions", _VERSION, tokens_key(self.predictor, dense), dense.subsample_px)
        return DirectionFiles(self.context.workspace.cache / "directions" / key)


def _failed(why: str) -> PairResult:
    return PairResult(NO_MATCHES, why, failed=True)
