"""The mast3r backend: dense pair inference, made keypoints and tracks for COLMAP's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray

from retrieval import Edge, Pair
from retrieval.codebook import Codebook
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.config.schema import Config
from sfm.errors import InputError
from sfm.mapping.scene.depth_source import DepthSource
from sfm.mapping.scene.pose_source import PosedGroup, PoseSource
from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.network.retrieval_head import RetrievalHead
from sfm.mast3r.network.whitening import fit_whitening
from sfm.mast3r.values import NOISE_NETWORK_PX, ViewDepth
from sfm.matching.backend import BackendContext, DescribeReport, MatchReport, SinglePhotos, StrongerMatcher
from sfm.matching.verification import record_pairs, verification_options, verify_pairs
from sfm.types import Collection
from sfm.workspace.workspace import Workspace, content_key

from .database_writer import write_tracks
from .depth.aligned_depth import FOLDER, AlignedDepthFiles, DepthOrigin
from .depth.depth_maps import DepthMaps, merged_depth
from .depth.focal_guesses import guess_focal_lengths
from .inference.coarse_to_fine import WindowMatcher
from .inference.descriptor_cache import DescriptorCache
from .inference.inference import PairInference
from .inference.matching import infer_pairs, refusals
from .inference.pair_store import PairStore
from .inference.photo_map import PhotoMap
from .inference.photos import EncodedPhotos, photo_maps
from .inference.pixel_queries import PixelQueries
from .inference.predictors import Loaded, open_predictor
from .inference.token_cache import open_token_cache, tokens_key
from .inference.window_tokens import WindowTokens
from .inference.windows import matched_px
from .pointmaps.dense_poses import DensePoses
from .pointmaps.pointmaps import Pointmaps
from .pointmaps.poses import AlignedPoses
from .pointmaps.single_photo import posed_alone
from .tracks.corners import sift_corners

_PAIRS_VERSION = _GEOMETRIES_VERSION = _DESCRIPTORS_VERSION = 1
_KEYPOINTS_VERSION = 3
"""Raised when a change of code changes what the step computes: earlier results are then computed again."""

_TOKEN_SAMPLE = 100_000


@dataclass(slots=True)
class Mast3rBackend:
    """See `sfm.matching.Backend`."""

    context: BackendContext
    loaded: Loaded
    name: str = "mast3r"
    stronger: StrongerMatcher | None = None
    _photos: EncodedPhotos | None = field(default=None, repr=False)
    _opened_store: PairStore | None = field(default=None, repr=False)

    @classmethod
    def open(cls, context: BackendContext) -> Mast3rBackend:
        """Load the network that the configuration asks for; raises as `open_predictor`."""
        torch.set_num_threads(context.threads)
        return cls(context, open_predictor(context.config.mast3r))

    @property
    def notice(self) -> str:
        """The licence of the weights."""
        return self.loaded.notice

    @property
    def predictor(self) -> PairPredictor:
        """The network."""
        return self.loaded.predictor

    def keys(self) -> StageKeys:
        """Keypoints come from pairs, so what matches depend on, features depend on too."""
        context = self.context
        config, dense = context.config, context.config.mast3r
        snapped_to = config.sift if dense.snap_to_sift else False
        track_options = (dense.max_keypoints, dense.max_matches, dense.tracks, snapped_to)
        features = content_key("keypoints", _KEYPOINTS_VERSION, self._pairs_key(), track_options)
        geometries = content_key("geometries", _GEOMETRIES_VERSION, features, config.verify, config.run.seed)
        return StageKeys(features, features, geometries)

    def _pairs_key(self) -> str:
        dense = self.context.config.mast3r
        options = (
            dense.subsample_px,
            dense.min_confidence,
            dense.one_direction_first,
            dense.min_first_matches,
            dense.depth,
            dense.depth_pairs_per_photo,
            dense.refine_matches,
            dense.coarse_to_fine,
            dense.max_windows,
            *(["alignment"] if self._wants_pointmaps else []),
        )
        return content_key("pairs", _PAIRS_VERSION, tokens_key(self.predictor, dense), options)

    def describe(self, collection: Collection, database: FeatureDatabase) -> DescribeReport:
        """Encode every photo."""
        context, dense = self.context, self.context.config.mast3r
        maps, refused = photo_maps(collection, dense.image_size)
        cache = open_token_cache(context.workspace.cache, self.predictor, dense)
        photos = {photo.name: photo for photo in collection.photos if photo.name in maps}
        self._photos = EncodedPhotos(
            photos, maps, self.predictor, cache, dense.image_size, context.threads, self._descriptor_cache()
        )
        encoded, failed = self._photos.encode_missing(context.progress)
        for name in sorted(photos.keys() - failed.keys()):
            height, width = maps[name].size
            context.workspace.events.emit("describe", "encoded", name=name, width=width, height=height)
        return DescribeReport(encoded, len(photos) - encoded - len(failed), {**refused, **failed})

    def retrieval_key(self, collection: Collection) -> str:
        """The tokens and what whitens them: the official head, or one learned from these very photos."""
        tokens = tokens_key(self.predictor, self.context.config.mast3r)
        if self.loaded.head_key:
            return content_key("retrieval", 2, tokens, self.loaded.head_key, self.loaded.codebook_key)
        return content_key("whitening", 2, tokens, [photo.sha256 for photo in collection.photos])

    def _descriptor_cache(self) -> DescriptorCache | None:
        """Where descriptors of the network's own head are kept; None where retrieval learns one."""
        if not self.loaded.head_key:
            return None
        size = self.predictor.retrieval_size or self.context.config.mast3r.image_size
        key = content_key("descriptors", _DESCRIPTORS_VERSION, self.predictor.key, self.loaded.head_key, size)
        return DescriptorCache(self.context.workspace.cache / "descriptors" / key)

    def retrieval_descriptors(
        self, collection: Collection, database: FeatureDatabase, names: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """The strongest whitened tokens of each photo."""
        return self._strongest_tokens(self._encoded, names, collection.names)

    def foreign_descriptors(
        self, photos: Collection, collection: Collection, scratch: Workspace
    ) -> Mapping[str, NDArray[np.float32]]:
        """The strongest tokens of photos beside the collection, whitened as its own are."""
        there = Mast3rBackend(replace(self.context, workspace=scratch), self.loaded)
        failed = there.describe(photos, FeatureDatabase(scratch.database)).failed
        encoded = [name for name in photos.names if name not in failed]
        return self._strongest_tokens(there._encoded, encoded, collection.names)

    def _strongest_tokens(
        self, photos: EncodedPhotos, names: Sequence[str], collection: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Without the official head, whitening is learned from `collection`, which must be described here.

        Learned whitening leaves tokens unscaled, so it ignores directions in which they hardly vary; the
        official one makes these as strong as all others.
        """
        count = self.context.config.retrieval.num_descriptors
        if self.loaded.head_key:
            return {name: photos.descriptors(name)[:count] for name in names}
        sample = _token_sample(self._encoded, collection, self.context.config.run.seed)
        head = RetrievalHead(fit_whitening(sample))
        return {name: head.local(photos[name].tokens[None])[0][0][:count].numpy() for name in names}

    def codebook(self) -> Codebook | None:
        """The official one, where its file is."""
        return self.loaded.codebook

    def match(
        self,
        edges: Mapping[Pair, Edge],
        collection: Collection,
        database: FeatureDatabase,
    ) -> MatchReport:
        """Infer pairs, build tracks from what is new, verify."""
        context, config = self.context, self.context.config
        matched = database.matched_pairs()
        todo = sorted(pair for pair in edges if pair not in matched)
        error_px = self._error_px(config.verify.max_error_px)
        store, photos = self._store(), self._encoded.photos
        if self._wants_pointmaps:
            results = self._pointmaps().results(todo)
        else:
            inference = PairInference(self.predictor, self._encoded, config.mast3r, self._window_matcher())
            results = infer_pairs(todo, inference, store, photos, context.progress)
        failed = {pair: result.why for pair, result in results.items() if result.failed}
        # Neither matched nor verified: the next run finds nothing of them and tries again.
        results = {pair: result for pair, result in results.items() if pair not in failed}
        corners = sift_corners(collection, context) if results and config.mast3r.snap_to_sift else None
        write_tracks(database, results, self._encoded, config.mast3r, context.threads, corners)
        verified_already = database.pairs()
        verify = replace(config.verify, max_error_px=error_px)
        verify_pairs(
            sorted(pair for pair in edges if pair not in verified_already and pair not in failed),
            database,
            scratch_dir=context.workspace.cache,
            options=verification_options(verify, config.run.seed, collection.photos),
            progress=context.progress,
        )
        unmatched = {pair: result.why for pair, result in results.items() if result.why}
        why = {**refusals(edges, store, photos), **unmatched}
        inliers = record_pairs(
            edges, todo, database.pairs(), context.workspace.events, why=why, failed=failed
        )
        return MatchReport(len(results), len(edges) - len(todo), inliers, failed)

    def pixel_queries(self, cameras: Mapping[str, pycolmap.Camera] | None = None) -> PixelQueries:
        """Where described photos show given positions of each other.

        Photos larger than the network's images are asked in windows, too, where `cameras` is not None; those
        of photos with a camera there are turned to look along their own axis.
        """
        dense = self.context.config.mast3r
        tokens = None if cameras is None else WindowTokens(self._encoded, dense.max_windows, cameras)
        return PixelQueries(self.predictor, self._encoded, dense.min_confidence, tokens)

    def _window_matcher(self) -> WindowMatcher | None:
        dense = self.context.config.mast3r
        if not dense.coarse_to_fine:
            return None
        return WindowMatcher(self.predictor, dense, WindowTokens(self._encoded, dense.max_windows))

    def _store(self) -> PairStore:
        if self._opened_store is None:
            folder = self.context.workspace.cache / "pairs" / self._pairs_key()
            self._opened_store = PairStore(folder)
        return self._opened_store

    def focal_guesses(self, collection: Collection) -> Mapping[int, float]:
        """Medians over the focal lengths that the points of each camera's photos imply."""
        return guess_focal_lengths(collection, self._depth_views(collection), self._maps)

    def depth(self, collection: Collection) -> DepthSource | None:
        """Depth of the photos that it was inferred for, but of panoramas."""
        if not self.context.config.mast3r.depth_lifting:
            return None
        around = _panoramas(collection)
        views_of = self._depth_views(collection)
        merged = {name: merged_depth(views) for name, views in views_of.items() if name not in around}
        return DepthMaps(merged, self._maps, self.predictor.is_metric) if merged else None

    def adapted(self, config: Config, collection: Collection) -> Config:
        """Thresholds in photo pixels that grow with the size of a network pixel.

        Principal points and camera models stay as they are unless the user asked for others. The test for
        evidence takes observations for independent, but nearby dense matches err alike.
        """
        register = config.register
        mapper = register.colmap.made("incremental_mapper")
        error = self._error_px(mapper.filter_max_reproj_error)
        wide = max(mapper.abs_pose_max_error, 3 * error)
        colmap = register.colmap.but(filter_max_reproj_error=error, abs_pose_max_error=wide)
        scaled = replace(register, colmap=colmap)
        principal_point, richest = config.refine.principal_point, config.refine.max_camera_model
        refine = replace(
            config.refine,
            principal_point="never" if principal_point == "evidence" else principal_point,
            max_camera_model="SIMPLE_RADIAL" if richest == "auto" else richest,
        )
        return replace(config, register=scaled, refine=refine)

    def poses(self, collection: Collection, database: FeatureDatabase) -> PoseSource | None:
        """Sparse global alignment of the photos' pointmaps; None where any of them is a panorama.

        Raises:
            InputError: there are panoramas, and the alignment is to be the mapper.
        """
        config = self.context.config
        if _panoramas(collection):
            if config.register.aligns:
                _require_flat(collection, f"register.mapper={config.register.mapper}")
            return None
        if config.register.mapper == "dense-alignment":
            pairs, progress = sorted(database.matched_pairs()), self.context.progress
            options = (progress, config.run.seed, self._aligned_depth, self._origin)
            return DensePoses(self.predictor, self._encoded, pairs, *options)
        if not (self._wants_pointmaps or config.alignment.initialise):
            return None
        kept = self._aligned_depth if self._wants_pointmaps else None
        return AlignedPoses(self._pointmaps(), collection, database, self._origin, kept)

    @property
    def single_photos(self) -> SinglePhotos:
        """The network sees depth in one photo, too."""
        return self

    def posed_alone(self, collection: Collection) -> PosedGroup:
        """What the network sees of the photo beside itself."""
        _require_flat(collection, "a scene of one photo")
        (photo,) = collection.photos
        camera = collection.cameras[photo.camera_id]
        return posed_alone(self.predictor, self._encoded, photo, camera, self._aligned_depth, self._origin)

    @property
    def _aligned_depth(self) -> AlignedDepthFiles:
        return AlignedDepthFiles(self.context.workspace.cache / FOLDER)

    @property
    def _origin(self) -> DepthOrigin:
        return DepthOrigin(self.predictor.key, self.notice)

    @property
    def _wants_pointmaps(self) -> bool:
        """Whether all pairs are wanted in both directions with all their points."""
        config = self.context.config
        return config.mast3r.pointmaps or config.register.mapper == "alignment"

    def _pointmaps(self) -> Pointmaps:
        return Pointmaps(self.context, self.predictor, self._encoded)

    @property
    def _encoded(self) -> EncodedPhotos:
        assert self._photos is not None, "describe comes first"
        return self._photos

    @property
    def _maps(self) -> Mapping[str, PhotoMap]:
        return self._encoded.maps

    def _depth_views(self, collection: Collection) -> dict[str, list[ViewDepth]]:
        if self._wants_pointmaps:
            return self._pointmaps().depths(collection)
        store = self._store()
        views = {photo.name: store.depths(photo.sha256) for photo in collection.photos}
        return {name: some for name, some in views.items() if some}

    def _error_px(self, configured: float) -> float:
        scale = median(matched_px(self._maps, self.context.config.mast3r).values())
        return round(max(configured, NOISE_NETWORK_PX * scale), 3)


def _token_sample(photos: EncodedPhotos, names: Sequence[str], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    chosen = sorted(names)[:: max(1, len(names) // 500)]
    share = max(1, _TOKEN_SAMPLE // len(chosen))
    samples = []
    for name in chosen:
        tokens = photos[name].tokens
        samples.append(tokens[torch.randperm(len(tokens), generator=generator)[:share]].float())
    return torch.cat(samples)


def _panoramas(collection: Collection) -> set[str]:
    cameras = collection.cameras
    return {photo.name for photo in collection.photos if cameras[photo.camera_id].is_spherical}


def _require_flat(collection: Collection, what: str) -> None:
    if around := _panoramas(collection):
        raise InputError(
            f"{what} needs flat photos, and {min(around)} shows the whole sphere (EQUIRECTANGULAR)",
            hint="use register.mapper=graph, or images.camera_model=SIMPLE_RADIAL where it is flat",
        )
