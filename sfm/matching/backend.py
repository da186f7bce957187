"""The interface of a matcher backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval import Edge, Pair
from retrieval.codebook import Codebook
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import StageKeys
from sfm.config.schema import Config
from sfm.mapping.scene.depth_source import DepthSource
from sfm.mapping.scene.pose_source import PosedGroup, PoseSource
from sfm.types import Collection
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class BackendContext:
    """Folder, options and progress report of a backend."""

    workspace: Workspace
    config: Config
    threads: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class DescribeReport:
    """Number of photos described now, taken from an earlier run, and left without features."""

    described: int
    cached: int
    failed: Mapping[str, str]
    """Name and reason."""


@dataclass(frozen=True, slots=True)
class MatchReport:
    """Pairs matched now, taken from an earlier run, and the verified ones among both."""

    matched: int
    cached: int
    inliers: Mapping[Pair, int]
    """Inliers of each verified pair."""
    failed: Mapping[Pair, str] = field(default_factory=dict)
    """Pairs that could not be matched for a reason of this run; the database lacks them, so the next run
    tries again."""

    @property
    def verified(self) -> int:
        """Number of verified pairs."""
        return len(self.inliers)


class StrongerMatcher(Protocol):
    """Matches again, at a higher price, pairs for which a backend found too little."""

    def candidates(self, database: FeatureDatabase) -> Mapping[Pair, int]:
        """Pairs that it may match, with the number of matches that the backend found for each."""

    def match(
        self, edges: Mapping[Pair, Edge], collection: Collection, database: FeatureDatabase
    ) -> MatchReport:
        """Match and verify pairs that it has not matched yet; emits a `pair` event for every edge."""


class SinglePhotos(Protocol):
    """Sees how far away things are in one photo alone."""

    def posed_alone(self, collection: Collection) -> PosedGroup:
        """The camera and the depth of a collection's only photo, which has been described.

        Raises:
            ReconstructionError: there is no depth of it.
        """


class Backend(Protocol):
    """One way to describe photos and to match pairs of them; a new object for every run."""

    @property
    def name(self) -> str:
        """As in the option `backend`."""

    @property
    def notice(self) -> str:
        """A message for the user before results are used, such as a licence of weights; mostly empty."""

    @property
    def stronger(self) -> StrongerMatcher | None:
        """What the closed loop may ask for pairs of images that stay out of the models."""

    @property
    def single_photos(self) -> SinglePhotos | None:
        """What makes a model of one photo alone; None where a model needs two."""

    def keys(self) -> StageKeys:
        """Keys of everything that the database's content depends on besides the photos."""

    def describe(self, collection: Collection, database: FeatureDatabase) -> DescribeReport:
        """Do the work that is needed once for each photo, and was not done before."""

    def retrieval_key(self, collection: Collection) -> str:
        """Key of everything that retrieval's descriptors depend on besides the photo itself."""

    def retrieval_descriptors(
        self, collection: Collection, database: FeatureDatabase, names: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Local descriptors `(n, D) float32` of described photos, for retrieval."""

    def foreign_descriptors(
        self, photos: Collection, collection: Collection, scratch: Workspace
    ) -> Mapping[str, NDArray[np.float32]]:
        """Descriptors for retrieval of photos beside the (described) collection, comparable to its own.

        The workspace stays as it is: files go to `scratch`, which holds `photos`. Photos that cannot be
        described are left out.
        """

    def codebook(self) -> Codebook | None:
        """The visual words that came with the backend; None when they are to be trained on the photos."""

    def match(
        self,
        edges: Mapping[Pair, Edge],
        collection: Collection,
        database: FeatureDatabase,
    ) -> MatchReport:
        """Match and verify pairs that the database doesn't hold yet; emits a `pair` event for every edge."""

    def focal_guesses(self, collection: Collection) -> Mapping[int, float]:
        """Focal lengths (px) seen in the photos themselves, by camera id; empty where none are seen."""

    def depth(self, collection: Collection) -> DepthSource | None:
        """Depth at keypoints, for photos that share no point with a model; None when there is none."""

    def poses(self, collection: Collection, database: FeatureDatabase) -> PoseSource | None:
        """Poses of many photos at once, for mapper alignment and where no pair starts a model."""

    def adapted(self, config: Config, collection: Collection) -> Config:
        """`config` with thresholds that fit the accuracy of this backend's keypoints."""
