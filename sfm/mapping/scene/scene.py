"""What all models of one database share: its images, cameras and verified pairs, read once."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Mapping, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair
from sfm.colmap.second_matcher import first_keypoints

from .depth_source import DepthSource
from .photo_source import PhotoSource
from .view_graph import MIN_NUM_INLIERS, ViewGraph

_MAX_PARTNERS = 8  # images with most inliers by which the matched keypoints of another are counted


@dataclass(frozen=True, slots=True)
class Scene:
    """Images, cameras and verified pairs; reading them costs one pass over the database."""

    cache: pycolmap.DatabaseCache
    view_graph: ViewGraph
    name_of: dict[int, str]
    """Image id to name, of the images that share a verified pair with another."""
    id_of: dict[str, int]
    depth: DepthSource | None = None
    photos: PhotoSource | None = None
    tried: frozenset[Pair] = frozenset()
    """All pairs that were matched, whether they verified or not."""
    first_of_second: Mapping[int, int] = field(default_factory=dict)
    """Image id to the index of its first keypoint of a second matcher, where it has such."""
    _keypoints: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict, repr=False)
    _matches: dict[Pair, npt.NDArray[np.uint32]] = field(default_factory=dict, repr=False)
    _matched: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    pair_residuals_px: dict[Pair, float] = field(default_factory=dict, repr=False)
    """Of verified pairs by themselves, as far as known (`measures.pair_residuals`)."""
    held_intrinsics: dict[frozenset[int], dict[frozenset[str], tuple[bool, bool]]] = field(
        default_factory=dict, repr=False
    )
    """What was decided of given intrinsics of some cameras in models of these images (`focal_priors`)."""

    @classmethod
    def open(
        cls, database: Path, depth: DepthSource | None = None, photos: PhotoSource | None = None
    ) -> Scene:
        """Read images, cameras and verified pairs."""
        options = pycolmap.DatabaseCacheOptions()
        options.min_num_matches = MIN_NUM_INLIERS
        with pycolmap.Database.open(database) as db:
            cache = pycolmap.DatabaseCache.create(db, options)
            # Much faster than the points of the images one by one.
            keypoints = {
                image_id: np.ascontiguousarray(db.read_keypoints(image_id)[:, :2])
                for image_id in cache.images
            }
        name_of = {image_id: image.name for image_id, image in sorted(cache.images.items())}
        id_of = {name: image_id for image_id, name in name_of.items()}
        return cls(
            cache,
            ViewGraph.read(database),
            name_of,
            id_of,
            depth,
            photos,
            _tried_pairs(database, name_of),
            first_keypoints(database),
            keypoints,
        )

    def without(self, pairs: Set[Pair]) -> Scene:
        """The same scene, in which some pairs were never verified; images and cameras are copies."""
        if not pairs:
            return self
        cache, correspondences = pycolmap.DatabaseCache(), self.cache.correspondence_graph
        for rig in self.cache.rigs.values():
            cache.add_rig(rig)
        for camera in self.cache.cameras.values():
            cache.add_camera(camera)
        for frame in self.cache.frames.values():
            cache.add_frame(frame)
        for image in self.cache.images.values():
            cache.add_image(image)
        for prior in self.cache.pose_priors:
            cache.add_pose_prior(prior)
        for pair_id in correspondences.image_pairs():
            ids = pycolmap.pair_id_to_image_pair(pair_id)
            if Pair.of(*(self.name_of[i] for i in ids)) not in pairs:
                geometry = correspondences.extract_two_view_geometry(*ids, True)
                cache.correspondence_graph.add_two_view_geometry(*ids, geometry)
        cache.correspondence_graph.finalize()
        return replace(self, cache=cache, view_graph=self.view_graph.without(pairs), _matched={})

    @property
    def longest_prior(self) -> float:
        """The longest known focal length, in longer sides of its camera's images; 0 where none is known."""
        known = (camera for camera in self.cache.cameras.values() if camera.has_prior_focal_length)
        return max((one.mean_focal_length() / max(one.width, one.height) for one in known), default=0.0)

    def keypoints(self, image_id: int) -> npt.NDArray[np.float32]:
        """Positions of all keypoints of an image, px, (N, 2)."""
        return self._keypoints[image_id]

    def matches(self, pair: Pair) -> npt.NDArray[np.uint32]:
        """Inlier matches, keypoints of `pair.a` and of `pair.b`, (M, 2); none if the pair never verified."""
        if pair not in self.view_graph:
            return np.zeros((0, 2), np.uint32)
        if pair not in self._matches:
            ids = self.id_of[pair.a], self.id_of[pair.b]
            graph = self.cache.correspondence_graph
            self._matches[pair] = graph.extract_matches_between_images(*ids)
        return self._matches[pair]

    def matched_keypoints(self, name: str) -> tuple[int, int]:
        """How many keypoints of an image are matched with another one, and how many with two others or more.

        Only the few images are looked at that it shares most matches with.
        """
        if name not in self._matched:
            partners = np.zeros(len(self.keypoints(self.id_of[name])), np.int64)
            for other in self.view_graph.neighbours(name)[:_MAX_PARTNERS]:
                pair = Pair.of(name, other)
                partners[self.matches(pair)[:, pair.index(name)]] += 1  # once, however often it is named
            self._matched[name] = int(np.count_nonzero(partners)), int(np.count_nonzero(partners > 1))
        return self._matched[name]

    def with_all_keypoints(self, reconstruction: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
        """A copy of a model whose images have all keypoints of the database."""
        found = copy.deepcopy(reconstruction)
        self.append_new_keypoints(found)
        return found

    def append_new_keypoints(self, reconstruction: pycolmap.Reconstruction) -> None:
        """Give the images of a model the keypoints that came into the database since it was built.

        Keypoints are only appended, so the earlier ones keep their indices.
        """
        for image_id, image in reconstruction.images.items():
            if image_id not in self.cache.images:
                continue
            stored = self.cache.image(image_id).points2D
            for index in range(len(image.points2D), len(stored)):
                image.points2D.append(pycolmap.Point2D(stored[index].xy))


def _tried_pairs(database: Path, name_of: Mapping[int, str]) -> frozenset[Pair]:
    """Pairs of these images with a row of matches, even an empty one; pycolmap lists only the others."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT pair_id FROM matches UNION SELECT pair_id FROM two_view_geometries")
        ends = [pycolmap.pair_id_to_image_pair(pair_id) for (pair_id,) in rows]
    return frozenset(Pair.of(name_of[i], name_of[j]) for i, j in ends if i in name_of and j in name_of)
