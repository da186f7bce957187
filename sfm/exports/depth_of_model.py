"""Depth of every photo of a model: that of its alignment, or asked of the network and fitted to the points.

Depth of an alignment that the model still follows has one scale for all photos. Where the model was adjusted
afterwards, and with depth that the network gives anew, each photo's is fitted to the points that it sees.
"""

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
from sfm.exports.aligned_views import AlignedViews, aligned_views
from sfm.exports.depth_set import DepthSet, Fit, ViewRecord, load_raw, save_contradicted, save_raw
from sfm.exports.partners import Covisibility, observed_points
from sfm.exports.source import DepthOptions, Source
from sfm.exports.view_network import ViewNetwork, open_network
from sfm.exports.view_photos import ViewPhotos, view_photos
from sfm.mapping.depth.fit import DepthFit, fit_depth
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.aligned_depth import DepthOrigin
from sfm.matching.dense.depth.depth_maps import DepthMaps
from sfm.matching.dense.depth.view_depth import NoDepthError

_FAR_QUANTILE = 0.999

Array = NDArray[np.float64]


@contextmanager
def depth_of_model(source: Source, folder: Path) -> Iterator[DepthSet]:
    """Depth of each registered photo; the maps are deleted when the context ends.

    `folder` exists and receives about 1.8 MB a photo at 512 px.

    Raises:
        WeightsError, MissingDependencyError: there is no aligned depth, and no network or not the device.
        InputError: a photo is missing or has changed since the run.
        ReconstructionError: no photo's depth agrees with the model.
    """
    with TemporaryDirectory(dir=folder) as name:
        scratch, photos = Path(name), view_photos(source)
        aligned, covisibility = aligned_views(source, photos), Covisibility.of(source.model)
        if aligned is not None:
            known = _of_alignment(source, aligned, photos, scratch)
        else:
            known = _ask(source, open_network(source, photos, scratch), covisibility, scratch)
        scale = known.scale or _common_scale(known)
        unit_scale = 1 / scale if source.depth is not None and source.depth.metres else 1.0
        views = {
            source.model.image(image_id).name: _record(source, known, image_id, scale, unit_scale)
            for image_id in known.fits
        }
        model = copy.deepcopy(source.model)
        model.transform(pycolmap.Sim3d(unit_scale, pycolmap.Rotation3d(), np.zeros(3)))
        yield DepthSet(
            model,
            views,
            known.left_out,
            1 / scale,
            unit_scale,
            covisibility,
            photos,
            known.origin,
            scratch,
            aligned is not None,
        )


@dataclass(slots=True)
class _Known:
    """Depth of the photos, by image id; their maps are in `folder`."""

    photos: ViewPhotos
    origin: DepthOrigin
    folder: Path
    left_out: dict[str, str]
    partners: dict[int, tuple[str, ...]] = field(default_factory=dict)
    fits: dict[int, DepthFit | None] = field(default_factory=dict)
    """None where the depth cannot be related to the model's points."""
    scale: float | None = None
    """Of all photos, where it is known to be the same."""


def _of_alignment(source: Source, aligned: AlignedViews, photos: ViewPhotos, folder: Path) -> _Known:
    """Depth of an alignment, and which pixels of it other photos contradict."""
    known = _Known(photos, aligned.origin, folder, {}, scale=aligned.scale_of(source.model))
    ids = {source.model.image(i).name: i for i in source.model.reg_image_ids()}
    with source.progress.task("clean", len(aligned), unit="photos") as task:
        for name, view, rejected in aligned.cleaned():
            image_id = ids[name]
            depth = np.where(view.depth > 0, view.depth, np.nan).astype(np.float32)
            found = ViewDepth(depth, view.confidence.astype(np.float32), 1, view.focal_px)
            save_raw(folder, image_id, found)
            save_contradicted(folder, image_id, rejected)
            known.partners[image_id] = ()
            known.fits[image_id] = fit_depth(*_at_points(source.model, image_id, found, photos))
            task.advance()
    return known


def _ask(source: Source, network: ViewNetwork, covisibility: Covisibility, folder: Path) -> _Known:
    model, options, photos = source.model, source.depth or DepthOptions(), network.photos
    ids = {model.image(i).name: i for i in model.reg_image_ids()}
    _, failed = network.inference.photos.encode_missing(source.progress)
    known = _Known(photos, network.origin, folder, {**photos.refused, **failed})
    usable = ids.keys() - known.left_out.keys()
    with source.progress.task("depth", len(usable), unit="photos") as task:
        for name in sorted(usable):
            image_id = ids[name]
            others = covisibility.partners(image_id, options.pairs_per_view)
            names = [model.image(other).name for other in others]
            # The only photo of a model is seen beside itself.
            names = [name] if len(ids) == 1 else names
            known.partners[image_id] = tuple(other for other in names if other in usable)
            try:
                view = network.inference.depth(name, known.partners[image_id])
            except NoDepthError as error:
                known.left_out[name] = str(error)
            else:
                save_raw(folder, image_id, view)
                known.fits[image_id] = fit_depth(*_at_points(model, image_id, view, photos))
            task.advance()
    return known


def _at_points(
    model: pycolmap.Reconstruction, image_id: int, view: ViewDepth, photos: ViewPhotos
) -> tuple[Array, Array, Array]:
    """The known depth and confidence, and the model's depth, (N,) each, at the points of a photo."""
    name = model.image(image_id).name
    xy, model_depth = observed_points(model, image_id)
    found = DepthMaps({name: view}, {name: photos.maps[name]}, metric=True).at(name, xy)
    assert found is not None
    return *found, model_depth


def _common_scale(known: _Known) -> float:
    """Median of the model's depth over the known one, of photos with a fit; of those without shift if any."""
    fits = [fit for fit in known.fits.values() if fit is not None]
    scales = [fit.scale for fit in fits if fit.shift == 0.0] or [fit.scale for fit in fits]
    if not scales:
        contradicts = "it contradicts the points that the photos see, or they are too few"
        why = contradicts if known.fits else next(iter(known.left_out.values()))
        raise ReconstructionError(
            f"no photo's depth agrees with the model: {why}",
            hint="with the official weights this means that the model is wrong or hardly has points",
        )
    return float(np.median(scales))


def _record(source: Source, known: _Known, image_id: int, common: float, unit_scale: float) -> ViewRecord:
    """A photo's relation to the model; with `common` as scale where it has no fit of its own."""
    view, fit = load_raw(known.folder, image_id), known.fits[image_id]
    is_common = fit is None or known.scale is not None
    scale, shift = (common, 0.0) if fit is None or is_common else (fit.scale, fit.shift)
    depth, _, model_depth = _at_points(source.model, image_id, view, known.photos)
    both = np.isfinite(depth) & (model_depth > 0)
    errors = np.abs((scale * depth[both] + shift) / model_depth[both] - 1)
    error = float(np.median(errors)) if errors.size else None
    least = (source.depth or DepthOptions()).min_confidence
    typical, far = (unit_scale * (scale * reach + shift) for reach in _reach(view, least))
    return ViewRecord(
        image_id,
        source.model.image(image_id).name,
        known.partners[image_id],
        Fit(scale, shift, fit is not None or known.scale is not None, len(depth), error),
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
