"""Depth of every photo of a model, in the unit of the export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.exports.partners import Covisibility
from sfm.exports.view_maps import Mask, ViewMap, network_view, resampled_view, turned_to_stored
from sfm.exports.view_photos import ViewPhotos
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.aligned_depth import DepthOrigin


@dataclass(frozen=True, slots=True)
class Fit:
    """Depth in the model's unit = scale * the network's depth + shift."""

    scale: float
    shift: float
    own: bool
    """False where the photo sees too few points of the model, or points that contradict it. Then its scale is
    the median of the other photos' scales."""
    num_points: int
    """Points of the model that the photo sees."""
    median_error: float | None
    """Of the depth at these points, relative; None where it is known at none."""


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """What is known of a photo's depth besides the depth itself."""

    image_id: int
    name: str
    partners: tuple[str, ...]
    fit: Fit
    typical: float
    """Median depth of what is confident, in the unit of the export; NaN where nothing is."""
    far: float
    """Depth that only a thousandth of what is confident exceeds; likewise."""


@dataclass(frozen=True, slots=True)
class DepthSet:
    """Depth of all photos of a model that have any; the maps themselves lie on disk and are read singly."""

    model: pycolmap.Reconstruction
    """In the unit of the export."""
    views: Mapping[str, ViewRecord]
    """By name."""
    left_out: Mapping[str, str]
    """Photos without depth, and why."""
    metres_per_unit: float
    """As the network sees it: the median over all photos, of the unit of the model in the workspace."""
    unit_scale: float
    """Units of the export per unit of the model in the workspace."""
    covisibility: Covisibility
    photos: ViewPhotos
    origin: DepthOrigin
    folder: Path
    is_aligned: bool = False
    """Whether all photos were aligned at the same time, so that their depths agree to a thousandth."""

    @property
    def image_ids(self) -> Mapping[str, int]:
        """Photos with depth, by name."""
        return {name: record.image_id for name, record in self.views.items()}

    def view(self, name: str) -> ViewMap:
        """Depth at the network's pixels."""
        image = self._image(name)
        camera = self.model.camera(image.camera_id)
        return self._marked(network_view(self._fitted(name), self.photos.maps[name], image, camera))

    def full_view(self, name: str, target: pycolmap.Camera | None = None) -> ViewMap:
        """Depth at the photo's pixels, or at those of its undistorted version, whose camera is `target`."""
        image = self._image(name)
        camera = self.model.camera(image.camera_id)
        photo_map = self.photos.maps[name]
        return self._marked(resampled_view(self._fitted(name), photo_map, image, camera, target))

    def contradicted(self, name: str) -> Mask | None:
        """(H, W) of `view`: points before the surface of another photo that is more confident there, by the
        alignment; None where depth is not aligned."""
        if not self.is_aligned:
            return None
        cleaned = np.load(self.folder / f"{self.views[name].image_id}.cleaned.npy")
        return turned_to_stored(cleaned, self.photos.photos[name].orientation)

    def colours(self, name: str) -> NDArray[np.uint8]:
        """(H, W, 3) red, green, blue of the pixels of `view`.

        Raises:
            InputError: the photo cannot be read any more.
        """
        return self.photos.colours(name)

    def _marked(self, view: ViewMap) -> ViewMap:
        return replace(view, is_aligned=self.is_aligned)

    def _image(self, name: str) -> pycolmap.Image:
        return self.model.image(self.views[name].image_id)

    def _fitted(self, name: str) -> ViewDepth:
        """Depth in the unit of the export, unknown where a mask of the user's is black."""
        fit, raw = self.views[name].fit, load_raw(self.folder, self.views[name].image_id)
        depth = self.unit_scale * (fit.scale * raw.depth + fit.shift)
        with np.errstate(invalid="ignore"):
            known = depth > 0
        open_parts = self.photos.open_pixels(name)
        if open_parts is not None:
            known &= open_parts
        depth = np.where(known, depth, np.nan).astype(np.float32)
        return ViewDepth(depth, raw.confidence, raw.stride, raw.focal_px)


def save_raw(folder: Path, image_id: int, view: ViewDepth) -> None:
    """Keep a photo's depth as the network gave it."""
    np.save(folder / f"{image_id}.npy", np.stack((view.depth, view.confidence)))


def save_contradicted(folder: Path, image_id: int, contradicted: Mask) -> None:
    """Keep which pixels of the network's image an alignment rejects."""
    np.save(folder / f"{image_id}.cleaned.npy", contradicted)


def load_raw(folder: Path, image_id: int) -> ViewDepth:
    """What `save_raw` kept."""
    depth, confidence = np.load(folder / f"{image_id}.npy")
    return ViewDepth(depth, confidence, 1, float("nan"))
