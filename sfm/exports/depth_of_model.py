"""Depth of every photo of a model: asked of the network, then fitted to the points that the photo sees."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import ReconstructionError
from sfm.exports.depth_set import DepthSet, Fit, ViewRecord, load_raw, save_raw
from sfm.exports.partners import Covisibility, observed_points
from sfm.exports.source import DepthOptions, Source
from sfm.exports.view_network import ViewNetwork, open_network
from sfm.mapping.depth.fit import DepthFit, fit_depth
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.depth_maps import DepthMaps
from sfm.matching.dense.depth.view_depth import NoDepthError

_FAR_QUANTILE = 0.999

Array = NDArray[np.float64]


@contextmanager
def depth_of_model(source: Source, folder: Path) -> Iterator[DepthSet]:
    """Ask the network for the depth of each registered photo; the maps are deleted when the context ends.

    `folder` exists and receives about 1.6 MB a photo at 512 px.

    Raises:
        WeightsError, MissingDependencyError: there is no network, or not the device.
        InputError: a photo is missing or has changed since the run.
        ReconstructionError: no photo's depth agrees with the model.
    """
    with TemporaryDirectory(dir=folder) as scratch:
        network = open_network(source, Path(scratch))
        covisibility = Covisibility.of(source.model)
        asked = _ask(source, network, covisibility, Path(scratch))
        scale = _common_scale(asked)
        unit_scale = 1 / scale if source.depth is not None and source.depth.metres else 1.0
        views = {
            source.model.image(image_id).name: _record(source, asked, image_id, scale, unit_scale)
            for image_id in asked.fits
        }
        model = copy.deepcopy(source.model)
        model.transform(pycolmap.Sim3d(unit_scale, pycolmap.Rotation3d(), np.zeros(3)))
        yield DepthSet(
            model, views, asked.left_out, 1 / scale, unit_scale, covisibility, network, Path(scratch)
        )


@dataclass(slots=True)
class _Asked:
    """The network's answers for the photos, by image id; their maps are in `folder`."""

    network: ViewNetwork
    folder: Path
    left_out: dict[str, str]
    partners: dict[int, tuple[str, ...]] = field(default_factory=dict)
    fits: dict[int, DepthFit | None] = field(default_factory=dict)
    """None where the depth cannot be related to the model's points."""


def _ask(source: Source, network: ViewNetwork, covisibility: Covisibility, folder: Path) -> _Asked:
    model, options = source.model, source.depth or DepthOptions()
    ids = {model.image(i).name: i for i in model.reg_image_ids()}
    _, failed = network.inference.photos.encode_missing(source.progress)
    asked = _Asked(network, folder, {**network.refused, **failed})
    usable = ids.keys() - asked.left_out.keys()
    with source.progress.task("depth", len(usable), unit="photos") as task:
        for name in sorted(usable):
            image_id = ids[name]
            others = covisibility.partners(image_id, options.pairs_per_view)
            names = [model.image(other).name for other in others]
            asked.partners[image_id] = tuple(other for other in names if other in usable)
            try:
                view = network.inference.depth(name, asked.partners[image_id])
            except NoDepthError as error:
                asked.left_out[name] = str(error)
            else:
                save_raw(folder, image_id, view)
                asked.fits[image_id] = fit_depth(*_at_points(model, image_id, view, network))
            task.advance()
    return asked


def _at_points(
    model: pycolmap.Reconstruction, image_id: int, view: ViewDepth, network: ViewNetwork
) -> tuple[Array, Array, Array]:
    """The network's depth and confidence, and the model's depth, (N,) each, at the points of a photo."""
    name = model.image(image_id).name
    xy, model_depth = observed_points(model, image_id)
    found = DepthMaps({name: view}, {name: network.maps[name]}, metric=True).at(name, xy)
    assert found is not None
    return *found, model_depth


def _common_scale(asked: _Asked) -> float:
    """Median of the model's depth over the network's, of photos with a fit; of those without shift if any."""
    fits = [fit for fit in asked.fits.values() if fit is not None]
    scales = [fit.scale for fit in fits if fit.shift == 0.0] or [fit.scale for fit in fits]
    if not scales:
        contradicts = "it contradicts the points that the photos see, or they are too few"
        why = contradicts if asked.fits else next(iter(asked.left_out.values()))
        raise ReconstructionError(
            f"no photo's depth agrees with the model: {why}",
            hint="with the official weights this means that the model is wrong or hardly has points",
        )
    return float(np.median(scales))


def _record(source: Source, asked: _Asked, image_id: int, common: float, unit_scale: float) -> ViewRecord:
    """A photo's relation to the model; with `common` as scale where it has no fit of its own."""
    view, fit = load_raw(asked.folder, image_id), asked.fits[image_id]
    scale, shift = (common, 0.0) if fit is None else (fit.scale, fit.shift)
    depth, _, model_depth = _at_points(source.model, image_id, view, asked.network)
    known = np.isfinite(depth) & (model_depth > 0)
    errors = np.abs((scale * depth[known] + shift) / model_depth[known] - 1)
    error = float(np.median(errors)) if errors.size else None
    least = (source.depth or DepthOptions()).min_confidence
    typical, far = (unit_scale * (scale * reach + shift) for reach in _reach(view, least))
    return ViewRecord(
        image_id,
        source.model.image(image_id).name,
        asked.partners[image_id],
        Fit(scale, shift, fit is not None, len(depth), error),
        typical,
        far,
    )


def _reach(view: ViewDepth, min_confidence: float) -> tuple[float, float]:
    """Median and nearly the largest depth of what is confident; NaN where nothing is."""
    with np.errstate(invalid="ignore"):
        confident = view.depth[(view.depth > 0) & (view.confidence >= min_confidence)]
    if not confident.size:
        return float("nan"), float("nan")
    return float(np.median(confident)), float(np.quantile(confident, _FAR_QUANTILE))
