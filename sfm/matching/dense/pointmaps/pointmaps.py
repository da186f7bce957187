"""The pointmaps of a run: computed for its pairs, kept, and read as matches, depth and poses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval import Pair
from sfm.global_alignment.sparse.canonical import CanonicalSums
from sfm.global_alignment.sparse.optimise import AlignmentOptions
from sfm.mapping.scene.pose_source import PosedGroup
from sfm.mast3r.network.pointmap_focal import estimate_focal
from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.values import ViewDepth
from sfm.matching.backend import BackendContext
from sfm.types import Collection
from sfm.workspace.workspace import content_key

from ..inference.decoded_direction import MIN_POINT_CONFIDENCE
from ..inference.inference import NO_MATCHES
from ..inference.masking import load_masks
from ..inference.pair_store import PairResult
from ..inference.photos import EncodedPhotos
from ..inference.token_cache import tokens_key
from .correspondences import KeptDirections
from .inference import DirectionInference
from .photo_directions import DirectionFiles
from .poses import AlignedPoses

_VERSION = 1
"""Raised when a change of code changes what directions are: they are then computed again."""
_DEPTH_STRIDE = 4


@dataclass(frozen=True, slots=True)
class Pointmaps:
    """Directions of pairs of encoded photos, in the workspace's cache."""

    context: BackendContext
    predictor: PairPredictor
    photos: EncodedPhotos

    def results(self, pairs: Sequence[Pair]) -> dict[Pair, PairResult]:
        """Matches of pairs, computed where they are not kept; those of failed pairs say why."""
        failed = self._inference().complete(pairs, self.context.progress)
        found = dict(self._kept().results([pair for pair in pairs if pair not in failed], self._least))
        lost = {pair: "its pointmaps could not be kept" for pair in pairs if pair not in found}
        return found | {pair: _failed(failed.get(pair, why)) for pair, why in lost.items()}

    def depths(self, collection: Collection) -> dict[str, list[ViewDepth]]:
        """Depth of photos, from their canonical pointmaps, of those that have one."""
        files, found = self._files(), {}
        for photo in collection.photos:
            if photo.name in self.photos.maps:
                sums = files.sums(photo.sha256, self.photos.maps[photo.name].size)
                if sums.count:
                    found[photo.name] = [_depth(sums)]
        return found

    def poses(self, collection: Collection, pairs: Sequence[Pair]) -> CompletedPoses:
        """A source of poses over these pairs."""
        config = self.context.config
        fixed = {
            photo.name: collection.cameras[photo.camera_id]
            for photo in collection.photos
            if collection.cameras[photo.camera_id].fixed
        }
        chosen = config.alignment
        options = AlignmentOptions(
            lr1=chosen.lr1,
            niter1=chosen.niter1,
            lr2=chosen.lr2,
            niter2=chosen.niter2,
            level=chosen.level,
            matching_conf_thr=chosen.matching_conf_thr,
            shared_intrinsics=config.images.camera_sharing == "single",
            start=chosen.start,
            kinematic=chosen.kinematic,
            double=chosen.precision == "fp64",
        )
        aligned = AlignedPoses(
            self._kept(),
            pairs,
            fixed,
            options,
            self.predictor.device,
            self.context.progress,
            self.predictor.is_metric,
        )
        return CompletedPoses(aligned, self._inference())

    @property
    def _least_of_points(self) -> float:
        """Of confidences that are those of points, since there are no descriptors."""
        return 0.0 if self.predictor.has_descriptors else MIN_POINT_CONFIDENCE

    @property
    def _least(self) -> float:
        return max(self.context.config.mast3r.min_confidence, self._least_of_points)

    def _inference(self) -> DirectionInference:
        return DirectionInference(self.predictor, self.photos, self.context.config.mast3r, self._files())

    def _kept(self) -> KeptDirections:
        return KeptDirections(
            self._files(),
            self.photos.photos,
            self.photos.maps,
            load_masks(self.photos.photos),
            max(self.context.config.alignment.min_confidence, self._least_of_points),
        )

    def _files(self) -> DirectionFiles:
        dense = self.context.config.mast3r
        key = content_key("directions", _VERSION, tokens_key(self.predictor, dense), dense.subsample_px)
        return DirectionFiles(self.context.workspace.cache / "directions" / key)


@dataclass(frozen=True, slots=True)
class CompletedPoses:
    """A source of poses that computes what is missing of the pairs that it is asked for."""

    aligned: AlignedPoses
    inference: DirectionInference

    @property
    def metric(self) -> bool:
        """Whether the unit is meant to be metres."""
        return self.aligned.metric

    def groups(self, pairs: Iterable[Pair] | None = None) -> Sequence[PosedGroup]:
        """Aligned groups of photos; see `sfm.mapping.scene.pose_source.PoseSource`."""
        chosen = list(self.aligned.pairs if pairs is None else pairs)
        self.inference.complete(chosen, self.aligned.progress)
        return self.aligned.groups(chosen)


def _failed(why: str) -> PairResult:
    return PairResult(NO_MATCHES, why, failed=True)


def _depth(sums: CanonicalSums) -> ViewDepth:
    view = sums.view()
    depth = np.where(view.points[..., 2] > 0, view.points[..., 2], np.nan)
    step = slice(None, None, _DEPTH_STRIDE)
    return ViewDepth(
        np.asarray(depth[step, step], np.float32),
        np.asarray(view.confidence[step, step], np.float32),
        _DEPTH_STRIDE,
        estimate_focal(view.points),
    )
