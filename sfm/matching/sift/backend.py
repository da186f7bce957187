"""SIFT as a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from retrieval import Edge, Pair
from retrieval.codebook import Codebook
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.config.schema import Config
from sfm.ingest import masks_dir
from sfm.mapping.scene.depth_source import DepthSource
from sfm.mapping.scene.pose_source import PoseSource
from sfm.matching.backend import BackendContext, DescribeReport, MatchReport, SinglePhotos, StrongerMatcher
from sfm.matching.verification import verification_options
from sfm.types import Collection
from sfm.workspace.workspace import Workspace, content_key

from .descriptors import ProbedPhotos
from .features import describe, retrieval_descriptors
from .matching import match_pairs

_FEATURES_VERSION, _MATCHES_VERSION = 4, 2
_GEOMETRIES_VERSION = 1
"""Raised when a change of code changes what the step computes: earlier results are then computed again."""


@dataclass(frozen=True, slots=True)
class SiftBackend:
    """See `sfm.matching.Backend`."""

    context: BackendContext
    name: str = "sift"
    notice: str = ""
    stronger: StrongerMatcher | None = None
    single_photos: SinglePhotos | None = None
    photos: ProbedPhotos = field(default_factory=ProbedPhotos)
    """Matched last."""

    def keys(self) -> StageKeys:
        """Features depend on the options of SIFT, matches on those and on matching, and so on."""
        config = self.context.config
        features = content_key("features", _FEATURES_VERSION, config.sift)
        matches = content_key("matches", _MATCHES_VERSION, features, config.matching)
        geometries = content_key("geometries", _GEOMETRIES_VERSION, matches, config.verify, config.run.seed)
        return StageKeys(features, matches, geometries)

    def describe(self, collection: Collection, database: FeatureDatabase) -> DescribeReport:
        """SIFT keypoints and descriptors, into the database."""
        context = self.context
        self.photos.forget()
        masked = any(photo.mask for photo in collection.photos)
        return describe(
            collection,
            database,
            images_dir=context.workspace.images,
            masks_dir=masks_dir(context.workspace.cache) if masked else None,
            config=context.config.sift,
            threads=context.threads,
            events=context.workspace.events,
            progress=context.progress,
        )

    def retrieval_key(self, collection: Collection) -> str:
        """The options of SIFT, and how many descriptors are taken."""
        return content_key(
            "retrieval", 1, self.keys().features, self.context.config.retrieval.num_descriptors
        )

    def retrieval_descriptors(
        self, collection: Collection, database: FeatureDatabase, names: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """RootSIFT of each photo's largest keypoints."""
        count = self.context.config.retrieval.num_descriptors
        return retrieval_descriptors(database, names, num_descriptors=count)

    def foreign_descriptors(
        self, photos: Collection, collection: Collection, scratch: Workspace
    ) -> Mapping[str, NDArray[np.float32]]:
        """RootSIFT of photos beside the collection, by way of a database of their own."""
        there = replace(self, context=replace(self.context, workspace=scratch))
        database = FeatureDatabase(scratch.database)
        database.sync(photos, self.keys())
        failed = there.describe(photos, database).failed
        described = [name for name in photos.names if name not in failed]
        return there.retrieval_descriptors(photos, database, described)

    def codebook(self) -> Codebook | None:
        """Trained on the collection."""
        return None

    def match(
        self,
        edges: Mapping[Pair, Edge],
        collection: Collection,
        database: FeatureDatabase,
    ) -> MatchReport:
        """Mutual nearest descriptors, verified, a few pairs at a time."""
        context, config = self.context, self.context.config
        return match_pairs(
            edges,
            database,
            scratch_dir=context.workspace.cache,
            config=config.matching,
            geometry=verification_options(config.verify, config.run.seed, collection.photos),
            threads=context.threads,
            events=context.workspace.events,
            progress=context.progress,
            photos=self.photos,
        )

    def focal_guesses(self, collection: Collection) -> Mapping[int, float]:
        """SIFT sees none."""
        return {}

    def depth(self, collection: Collection) -> DepthSource | None:
        """SIFT sees none."""
        return None

    def poses(self, collection: Collection, database: FeatureDatabase) -> PoseSource | None:
        """Only pointmaps are aligned."""
        return None

    def adapted(self, config: Config, collection: Collection) -> Config:
        """The defaults are made for SIFT."""
        return config
