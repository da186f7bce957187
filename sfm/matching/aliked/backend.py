"""ALIKED and LightGlue as a backend."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Edge, Pair
from retrieval.codebook import Codebook
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.config.schema import AlikedConfig, Config
from sfm.ingest.decode import UnusablePhotoError, decode, open_photo
from sfm.mapping.scene.depth_source import DepthSource
from sfm.mapping.scene.pose_source import PoseSource
from sfm.matching.backend import (
    BackendContext,
    DescribeReport,
    MatchReport,
    SinglePhotos,
    StrongerMatcher,
)
from sfm.matching.verification import record_pairs, verification_options, verify_pairs
from sfm.types import Collection, Photo
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace, content_key

from .memory import reused_memory
from .networks import MAX_SIZE, Described, Networks, open_networks

_VERSION = 2
"""Raised when a change of code changes what is computed: earlier results are then computed again."""
MIN_NUM_INLIERS = 30
"""Of a pair: LightGlue finds likenesses between any two photos, which agree on a motion by chance."""
_KINDS = {
    "n16rot": pycolmap.FeatureExtractorType.ALIKED_N16ROT,
    "n16": pycolmap.FeatureExtractorType.ALIKED_N16ROT,
    "n32": pycolmap.FeatureExtractorType.ALIKED_N32,
}
"""What COLMAP takes the descriptors for; it has none for n16, whose descriptors are of the same form."""
SECONDS_A_CHUNK = 15.0
"""A kill loses at most the chunk in hand."""


@dataclass(frozen=True, slots=True)
class AlikedBackend:
    """See `sfm.matching.Backend`."""

    context: BackendContext
    networks: Networks
    name: str = "aliked"
    notice: str = ""
    stronger: StrongerMatcher | None = None
    single_photos: SinglePhotos | None = None

    @classmethod
    def open(cls, context: BackendContext) -> AlikedBackend:
        """Load the networks; raises as `open_networks`."""
        return cls(context, open_networks(context.config.aliked, context.threads))

    def keys(self) -> StageKeys:
        """Features depend on the options of ALIKED but not on the device, matches on features."""
        config = self.context.config
        features = features_key(config.aliked)
        geometries = content_key(
            "geometries", _VERSION, features, MIN_NUM_INLIERS, config.verify, config.run.seed
        )
        return StageKeys(features, features, geometries)

    def describe(self, collection: Collection, database: FeatureDatabase) -> DescribeReport:
        """ALIKED keypoints and descriptors, into the database in COLMAP's form of them."""
        before = database.num_keypoints()
        todo = [photo for photo in collection.photos if photo.name not in before]
        failed: dict[str, str] = {}
        with self.context.progress.task("describe", len(todo), unit="photos") as task, reused_memory():
            for photo in todo:
                try:
                    found = described(self.networks, photo)
                except (UnusablePhotoError, OSError) as error:
                    failed[photo.name] = str(error)
                else:
                    # As COLMAP stores them.
                    stored = np.ascontiguousarray(found.descriptors, np.float32).view(np.uint8)
                    kind = _KINDS[self.context.config.aliked.detector]
                    database.put_features(photo.name, found.xy, stored, kind=kind)
                task.advance(1)
        after = database.num_keypoints()
        for name in collection.names:
            self.context.workspace.events.emit(
                "describe", "features", name=name, num_keypoints=after.get(name), cached=name in before
            )
        return DescribeReport(len(todo) - len(failed), len(collection.photos) - len(todo), failed)

    def retrieval_key(self, collection: Collection) -> str:
        """The options of ALIKED, and how many descriptors are taken."""
        return content_key(
            "retrieval", 1, self.keys().features, self.context.config.retrieval.num_descriptors
        )

    def retrieval_descriptors(
        self, collection: Collection, database: FeatureDatabase, names: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """ALIKED descriptors of each photo's best keypoints."""
        count = self.context.config.retrieval.num_descriptors
        return {name: _stored(database, name)[1][:count] for name in names}

    def foreign_descriptors(
        self, photos: Collection, collection: Collection, scratch: Workspace
    ) -> Mapping[str, NDArray[np.float32]]:
        """ALIKED descriptors of photos beside the collection, by way of a database of their own."""
        there = replace(self, context=replace(self.context, workspace=scratch))
        database = FeatureDatabase(scratch.database)
        database.sync(photos, self.keys())
        failed = there.describe(photos, database).failed
        return there.retrieval_descriptors(
            photos, database, [name for name in photos.names if name not in failed]
        )

    def codebook(self) -> Codebook | None:
        """Trained on the collection."""
        return None

    def match(
        self,
        edges: Mapping[Pair, Edge],
        collection: Collection,
        database: FeatureDatabase,
    ) -> MatchReport:
        """LightGlue's matches, verified, a few pairs at a time."""
        context = self.context
        options = strict_verification(context.config, collection.photos)
        done = database.pairs()
        sizes = {photo.name: (photo.width, photo.height) for photo in collection.photos}
        todo = sorted(pair for pair in edges if pair not in done)
        chunk: dict[Pair, NDArray[np.uint32]] = {}
        started = time.monotonic()
        with context.progress.task("match", len(todo), unit="pairs") as task:
            for pair in todo:
                a, b = (Described(*_stored(database, name), sizes[name]) for name in (pair.a, pair.b))
                chunk[pair] = self.networks.match(a, b)
                if pair == todo[-1] or time.monotonic() - started > SECONDS_A_CHUNK:
                    database.add_matches({}, chunk)
                    verify_pairs(
                        list(chunk),
                        database,
                        scratch_dir=context.workspace.cache,
                        options=options,
                        progress=SilentProgress(),
                    )
                    chunk, started = {}, time.monotonic()
                task.advance(1)
        inliers = record_pairs(edges, todo, database.pairs(), context.workspace.events)
        return MatchReport(len(todo), len(edges) - len(todo), inliers)

    def focal_guesses(self, collection: Collection) -> Mapping[int, float]:
        """ALIKED sees none."""
        return {}

    def depth(self, collection: Collection) -> DepthSource | None:
        """ALIKED sees none."""
        return None

    def poses(self, collection: Collection, database: FeatureDatabase) -> PoseSource | None:
        """Only pointmaps are aligned."""
        return None

    def adapted(self, config: Config, collection: Collection) -> Config:
        """The defaults, which are SIFT's, hold."""
        return config


def strict_verification(config: Config, photos: Iterable[Photo]) -> pycolmap.TwoViewGeometryOptions:
    """pycolmap's options for pairs that only these networks have matched."""
    options = verification_options(config.verify, config.run.seed, photos)
    options.min_num_inliers = max(options.min_num_inliers, MIN_NUM_INLIERS)
    return options


def features_key(config: AlikedConfig) -> str:
    """Key of the options that keypoints and descriptors depend on; the device is none."""
    return content_key("aliked", _VERSION, MAX_SIZE, config.max_keypoints, config.detector)


def described(networks: Networks, photo: Photo) -> Described:
    """Features of a photo, within its mask.

    Raises:
        UnusablePhotoError: it cannot be decoded.
        OSError: it cannot be read.
    """
    found = networks.describe(_pixels(photo.path, "RGB"))
    if photo.mask is None:
        return found
    mask = _pixels(photo.mask, "L") > 0
    columns, rows = np.clip(found.xy.astype(np.int64), 0, np.array(mask.shape[::-1]) - 1).T
    kept = mask[rows, columns]
    return replace(found, xy=found.xy[kept], descriptors=found.descriptors[kept])


def _pixels(path: Path, mode: str) -> NDArray[np.uint8]:
    """As stored, not upright: the model refers to these."""
    with open_photo(path) as image:
        decode(image)
        return np.asarray(image.convert(mode))


def _stored(database: FeatureDatabase, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Positions (n, 2) px and descriptors (n, 128) of a photo, best first."""
    keypoints, descriptors = database.features(name)
    return keypoints[:, :2].copy(), np.ascontiguousarray(descriptors).view(np.float32)
