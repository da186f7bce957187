"""Depth of every photo of a model, asked of the network and fitted to the model's points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.dense.depth_maps import DepthMaps
from sfm.dense.types import ViewDepth
from sfm.dense.view_depth import NoDepthError
from sfm.errors import ReconstructionError
from sfm.exports.partners import Covisibility, observed_points
from sfm.exports.source import DepthOptions, Source
from sfm.exports.view_maps import ViewMap, network_view, resampled_view, turned_to_stored
from sfm.exports.view_network import ViewNetwork, open_network
from sfm.ingest.decode import load_rgb
from sfm.mapping.depth_fit import DepthFit, fit_depth
from sfm.mast3r.image_input import network_photo

_FAR_QUANTILE = 0.999


@dataclass(frozen=True, slots=True)
class Fit:
    """Depth in the model's unit = scale * the network's depth + shift."""

    scale: float
    shift: float
    own: bool
    """False where the photo sees too few points of the model, or points that contradict it, and the median
    scale of the other photos was taken."""
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
    network: ViewNetwork
    folder: Path

    def view(self, name: str) -> ViewMap:
        """Depth at the network's pixels."""
        image = self._image(name)
        camera = self.model.camera(image.camera_id)
        return network_view(self._fitted(name), self.network.maps[name], image, camera)

    def full_view(self, name: str, target: pycolmap.Camera | None = None) -> ViewMap:
        """Depth at the photo's pixels, or at those of its undistorted version, whose camera is `target`."""
        image = self._image(name)
        camera = self.model.camera(image.camera_id)
        return resampled_view(self._fitted(name), self.network.maps[name], image, camera, target)

    def colours(self, name: str) -> NDArray[np.uint8]:
        """(H, W, 3) red, green, blue of the pixels of `view`."""
        photo = self.network.photos[name]
        upright = network_photo(load_rgb(photo.path), name, size=self.network.image_size)[0].pixels
        return np.asarray(turned_to_stored(upright, photo.orientation), np.uint8)

    def _image(self, name: str) -> pycolmap.Image:
        return self.model.image(self.views[name].image_id)

    def _fitted(self, name: str) -> ViewDepth:
        """Depth in the unit of the export, unknown where a mask of the user's is black."""
        fit, raw = self.views[name].fit, _load(self.folder, self.views[name].image_id)
        depth = self.unit_scale * (fit.scale * raw.depth + fit.shift)
        with np.errstate(invalid="ignore"):
            known = depth > 0
        open_parts = self.network.open_pixels(name)
        if open_parts is not None:
            known &= open_parts
        depth = np.where(known, depth, np.nan).astype(np.float32)
        return ViewDepth(depth, raw.confidence, raw.stride, raw.focal_px)


@contextmanager
def depth_of_model(source: Source, folder: Path) -> Iterator[DepthSet]:
    """Ask the network for the depth of each registered photo; the maps are deleted when the context ends.

    Args:
        source: the model and how depth is wanted.
        folder: an existing folder for the maps, about 1.6 MB a photo at 512 px.

    Raises:
        WeightsError, MissingDependencyError: there is no network, or not the device.
        InputError: a photo is missing or has changed since the run.
        ReconstructionError: no photo's depth agrees with the model.
    """
    with TemporaryDirectory(dir=folder) as scratch:
        network = open_network(source, Path(scratch))
        yield _fitted_set(source, network, Path(scratch))


def _fitted_set(source: Source, network: ViewNetwork, folder: Path) -> DepthSet:
    model, options = source.model, source.depth or DepthOptions()
    covisibility = Covisibility.of(model)
    left_out = dict(network.refused)
    partners: dict[int, tuple[str, ...]] = {}
    fits: dict[int, DepthFit | None] = {}
    ids = {model.image(i).name: i for i in model.reg_image_ids()}
    with source.progress.task("depth", len(ids), unit="photos") as task:
        for name, image_id in sorted(ids.items()):
            if name not in left_out:
                others = [
                    model.image(i).name for i in covisibility.partners(image_id, options.pairs_per_view)
                ]
                partners[image_id] = tuple(other for other in others if other not in network.refused)
                try:
                    view = network.inference.depth(name, partners[image_id])
                except NoDepthError as error:
                    left_out[name] = str(error)
                else:
                    _save(folder, image_id, view)
                    fits[image_id] = fit_depth(*_at_points(model, image_id, view, network))
            task.advance()
    scale = _common_scale(fits, left_out)
    unit_scale = 1 / scale if options.metres else 1.0
    views = {}
    for image_id, fit in fits.items():
        name, view = model.image(image_id).name, _load(folder, image_id)
        depth, _, model_depth = _at_points(model, image_id, view, network)
        final = _final_fit(fit, scale, depth, model_depth)
        reach = [
            unit_scale * (final.scale * value + final.shift) for value in _reach(view, options.min_confidence)
        ]
        views[name] = ViewRecord(image_id, name, partners[image_id], final, *reach)
    scaled = pycolmap.Reconstruction(model)
    scaled.transform(pycolmap.Sim3d(unit_scale, pycolmap.Rotation3d(), np.zeros(3)))
    return DepthSet(scaled, views, left_out, 1 / scale, unit_scale, covisibility, network, folder)


def _at_points(
    model: pycolmap.Reconstruction, image_id: int, view: ViewDepth, network: ViewNetwork
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The network's depth and confidence, and the model's depth, (N,) each, at the points of a photo."""
    name = model.image(image_id).name
    xy, model_depth = observed_points(model, image_id)
    found = DepthMaps({name: view}, {name: network.maps[name]}, metric=True).at(name, xy)
    assert found is not None
    return *found, model_depth


def _final_fit(
    fit: DepthFit | None, scale: float, depth: NDArray[np.float64], model_depth: NDArray[np.float64]
) -> Fit:
    shift = 0.0
    if fit is not None:
        scale, shift = fit.scale, fit.shift
    known = np.isfinite(depth) & (model_depth > 0)
    errors = np.abs((scale * depth[known] + shift) / model_depth[known] - 1)
    return Fit(scale, shift, fit is not None, len(depth), float(np.median(errors)) if errors.size else None)


def _common_scale(fits: Mapping[int, DepthFit | None], left_out: Mapping[str, str]) -> float:
    scales = [fit.scale for fit in fits.values() if fit is not None and fit.shift == 0.0]
    scales = scales or [fit.scale for fit in fits.values() if fit is not None]
    if not scales:
        why = next(
            iter(left_out.values()), "it contradicts the points that the photos see, or they are too few"
        )
        raise ReconstructionError(
            f"no photo's depth agrees with the model: {why}",
            hint="with the official weights this means that the model itself is wrong or hardly has points",
        )
    return float(np.median(scales))


def _reach(view: ViewDepth, min_confidence: float) -> tuple[float, float]:
    with np.errstate(invalid="ignore"):
        confident = view.depth[(view.depth > 0) & (view.confidence >= min_confidence)]
    if not confident.size:
        return float("nan"), float("nan")
    return float(np.median(confident)), float(np.quantile(confident, _FAR_QUANTILE))


def _save(folder: Path, image_id: int, view: ViewDepth) -> None:
    np.save(folder / f"{image_id}.npy", np.stack((view.depth, view.confidence)))


def _load(folder: Path, image_id: int) -> ViewDepth:
    depth, confidence = np.load(folder / f"{image_id}.npy")
    return ViewDepth(depth, confidence, 1, float("nan"))
