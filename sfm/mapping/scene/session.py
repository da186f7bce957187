"""The life of a mapper over one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pycolmap

from .adjusted_photos import cameras_that_need_priors
from .camera_models import match_camera_models
from .options import MapperOptions, with_constant_cameras
from .scene import Scene


@dataclass(frozen=True, slots=True)
class MapperSession:
    """A mapper at work on one model; once closed, `reconstruction` holds registered images only."""

    scene: Scene
    options: MapperOptions
    mapper: pycolmap.IncrementalMapper
    reconstruction: pycolmap.Reconstruction

    @property
    def registered(self) -> frozenset[str]:
        """Names of the images that have a pose."""
        return frozenset(self.scene.name_of[i] for i in self.reconstruction.reg_image_ids())

    @property
    def observations(self) -> pycolmap.ObservationManager:
        """COLMAP's bookkeeping of which image sees which point."""
        return self.mapper.observation_manager

    @property
    def num_registered(self) -> int:
        """Number of images that have a pose."""
        return int(self.reconstruction.num_reg_images())

    def frames(self) -> list[list[pycolmap.Image]]:
        """The registered images of each frame: one, but for rigs."""
        rec = self.reconstruction
        images = [rec.image(image_id) for image_id in sorted(rec.reg_image_ids())]
        by_frame: dict[int, list[pycolmap.Image]] = {}
        for image in images:
            by_frame.setdefault(image.frame_id, []).append(image)
        return list(by_frame.values())

    def triangulate_all(self) -> None:
        """Triangulate the matches of all images that have a pose, in the order of their names."""
        for name in sorted(self.registered):
            self.mapper.triangulate_image(self.options.triangulation, self.scene.id_of[name])

    def recount(self) -> None:
        """Count the images that were registered without the mapper; it counts only when it begins."""
        self.mapper.end_reconstruction(False)
        self.mapper.begin_reconstruction(self.reconstruction)


@contextmanager
def open_session(
    scene: Scene, options: MapperOptions, reconstruction: pycolmap.Reconstruction
) -> Iterator[MapperSession]:
    """A mapper on `reconstruction`, which may be empty or come from an earlier session or round.

    COLMAP cannot add pairs to a mapper at work: new pairs mean a new `Scene` and a new session on the model.
    Its adjustments have no priors on intrinsics: cameras of the model that need them stay as they are.
    """
    match_camera_models(scene.cache, reconstruction)
    options = with_constant_cameras(options, cameras_that_need_priors(reconstruction))
    mapper = pycolmap.IncrementalMapper(scene.cache)
    mapper.begin_reconstruction(reconstruction)
    try:
        yield MapperSession(scene, options, mapper, reconstruction)
    finally:
        mapper.end_reconstruction(False)
