"""The life of a database cache and of a mapper over one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from .depth import DepthSource
from .options import MapperOptions
from .view_graph import MIN_NUM_INLIERS, ViewGraph


@dataclass(frozen=True, slots=True)
class Scene:
    """What all models of one database share; reading it costs one pass over the database."""

    cache: pycolmap.DatabaseCache
    view_graph: ViewGraph
    name_of: dict[int, str]
    """Image id to name, of the photos that share a verified pair with another."""
    id_of: dict[str, int]
    depth: DepthSource | None = None

    @classmethod
    def open(cls, database: Path, depth: DepthSource | None = None) -> Scene:
        """Read photos, cameras and verified pairs."""
        options = pycolmap.DatabaseCacheOptions()
        options.min_num_matches = MIN_NUM_INLIERS
        with pycolmap.Database.open(database) as db:
            cache = pycolmap.DatabaseCache.create(db, options)
        name_of = {image_id: image.name for image_id, image in sorted(cache.images.items())}
        id_of = {name: image_id for image_id, name in name_of.items()}
        return cls(cache, ViewGraph.read(database), name_of, id_of, depth)

    def append_new_keypoints(self, reconstruction: pycolmap.Reconstruction) -> None:
        """Give the photos of a model the keypoints that came into the database since it was built.

        Keypoints are only ever appended, so those that the model knows keep their places.
        """
        for image_id, image in reconstruction.images.items():
            if image_id not in self.cache.images:
                continue
            stored = self.cache.image(image_id).points2D
            for index in range(len(image.points2D), len(stored)):
                image.points2D.append(pycolmap.Point2D(stored[index].xy))


@dataclass(frozen=True, slots=True)
class MapperSession:
    """A mapper at work on one model; once closed, `reconstruction` holds registered photos only."""

    scene: Scene
    options: MapperOptions
    mapper: pycolmap.IncrementalMapper
    reconstruction: pycolmap.Reconstruction

    @property
    def registered(self) -> frozenset[str]:
        """Names of the photos that have a pose."""
        return frozenset(self.scene.name_of[i] for i in self.reconstruction.reg_image_ids())

    @property
    def observations(self) -> pycolmap.ObservationManager:
        """COLMAP's bookkeeping of which photo sees which point."""
        return self.mapper.observation_manager

    @property
    def num_registered(self) -> int:
        """Number of photos that have a pose."""
        return int(self.reconstruction.num_reg_images())

    def recount(self) -> None:
        """Let the mapper know of photos that were registered without it; it counts them when it begins."""
        self.mapper.end_reconstruction(False)
        self.mapper.begin_reconstruction(self.reconstruction)


@contextmanager
def open_session(
    scene: Scene, options: MapperOptions, reconstruction: pycolmap.Reconstruction
) -> Iterator[MapperSession]:
    """A mapper on `reconstruction`, which may be empty or come from an earlier session or round.

    COLMAP cannot add pairs to a mapper at work: new pairs mean a new `Scene` and a new session on the model.
    """
    mapper = pycolmap.IncrementalMapper(scene.cache)
    mapper.begin_reconstruction(reconstruction)
    try:
        yield MapperSession(scene, options, mapper, reconstruction)
    finally:
        mapper.end_reconstruction(False)
