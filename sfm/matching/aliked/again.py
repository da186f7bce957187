"""ALIKED and LightGlue for pairs that another matcher has matched, in the same database."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from retrieval import Edge, Pair
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_sync import photo_content
from sfm.colmap.second_matcher import SecondMatcher, names_of
from sfm.files.atomic import atomic_write_bytes
from sfm.ingest.decode import UnusablePhotoError
from sfm.matching.backend import BackendContext, MatchReport
from sfm.matching.verification import record_pairs, verification_options, verify_pairs
from sfm.types import Collection, Photo
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import content_key

from .backend import SECONDS_A_CHUNK, described, features_key, strict_verification
from .memory import reused_memory
from .networks import Described, Networks, open_networks


@dataclass  # without slots: a cached property
class AlikedAgain:
    """See `sfm.matching.backend.StrongerMatcher`; the networks are loaded when a pair needs them."""

    context: BackendContext

    @cached_property
    def networks(self) -> Networks:
        """Both networks; raises as `open_networks`."""
        return open_networks(self.context.config.aliked, self.context.threads)

    def candidates(self, database: FeatureDatabase) -> Mapping[Pair, int]:
        """Pairs that another matcher has matched, verified or not, with the number of their matches."""
        done = self._second(database).pairs()
        return {pair: record.num_matches for pair, record in database.pairs().items() if pair not in done}

    def match(
        self, edges: Mapping[Pair, Edge], collection: Collection, database: FeatureDatabase
    ) -> MatchReport:
        """LightGlue's matches, verified, a few pairs at a time."""
        context, second = self.context, self._second(database)
        photos = {photo.name: photo for photo in collection.photos}
        todo = sorted(edges.keys() - second.pairs())
        waiting, failed = list(todo), dict[Pair, str]()
        with context.progress.task("match", len(todo), unit="pairs") as task, reused_memory():
            while waiting:
                started, chunk = time.monotonic(), dict[Pair, NDArray[np.uint32]]()
                found: dict[str, Described] = {}
                while waiting and (not chunk or time.monotonic() - started < SECONDS_A_CHUNK):
                    pair = waiting.pop(0)
                    try:
                        found |= {name: self._described(photos[name]) for name in pair if name not in found}
                    except (UnusablePhotoError, OSError) as error:
                        failed[pair] = str(error)
                    else:
                        chunk[pair] = self.networks.match(found[pair.a], found[pair.b])
                    task.advance(1)
                second.write({name: found[name].xy for name in names_of(chunk)}, chunk)
                self._verify(list(chunk), second, collection)
        self._verify(sorted(edges.keys() - database.pairs().keys() - failed.keys()), second, collection)
        inliers = record_pairs(
            edges, todo, database.pairs(), context.workspace.events, failed=failed, matcher="aliked"
        )
        return MatchReport(len(todo) - len(failed), len(edges) - len(todo), inliers, failed)

    def _verify(self, pairs: list[Pair], second: SecondMatcher, collection: Collection) -> None:
        """Verify pairs; those without inliers of the first matcher need more of them."""
        config, alone, photos = self.context.config, second.alone(pairs), collection.photos
        for some, options in (
            (sorted(alone), strict_verification(config, photos)),
            (sorted(set(pairs) - alone), verification_options(config.verify, config.run.seed, photos)),
        ):
            verify_pairs(
                some,
                second.database,
                scratch_dir=self.context.workspace.cache,
                options=options,
                progress=SilentProgress(),
            )

    def _second(self, database: FeatureDatabase) -> SecondMatcher:
        return SecondMatcher(database, features_key(self.context.config.aliked))

    def _described(self, photo: Photo) -> Described:
        """Features of a photo, kept in a file with descriptors of half the precision."""
        key = content_key("aliked", 1, features_key(self.context.config.aliked), photo_content(photo))
        path = self.context.workspace.cache / "aliked" / f"{key}.safetensors"
        try:
            stored = load_file(path)
        except (OSError, SafetensorError):
            found = described(self.networks, photo)
            stored = {"xy": found.xy, "descriptors": found.descriptors.astype(np.float16)}
            atomic_write_bytes(path, save(stored))
        size = photo.width, photo.height
        return Described(stored["xy"], stored["descriptors"].astype(np.float32), size)
