"""Depth of a model's photos as the alignment that made the model found it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import overload

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.exports.partners import observed_points
from sfm.exports.source import Source
from sfm.exports.view_maps import Mask
from sfm.exports.view_photos import ViewPhotos
from sfm.global_alignment.sparse.dense import DenseView, cleaned_confidence
from sfm.mast3r.values import ViewDepth
from sfm.matching.dense.depth.aligned_depth import FOLDER, AlignedDepthFiles, DepthOrigin
from sfm.matching.dense.depth.depth_maps import DepthMaps
from sfm.matching.dense.pointmaps.posed_photos import posed_image
from sfm.workspace.events import read_events

log = logging.getLogger(__name__)

_KEY = re.compile(r"[0-9a-f]{32}")
_SAME_TURN = 1e-5
"""Difference of rotation matrices that a model written and read again, or turned as a whole, may have."""
_SAME_PLACE = 1e-4
"""Difference of centres, over the median depth of the photos."""
_LEAST_BASELINE = 1e-3
"""Extent of the centres over the median depth, from which they show the scale."""
_IN_MEMORY = 64
"""Views of 3 MB."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AlignedViews:
    """Aligned views of all registered photos of a model, on disk."""

    files: AlignedDepthFiles
    key: str
    photos: ViewPhotos
    origin: DepthOrigin

    def __len__(self) -> int:
        return len(self.photos.photos)

    def view(self, name: str) -> DenseView:
        """One photo in the alignment, with no confidence where its mask is black.

        Raises:
            OSError: its file is gone or damaged meanwhile.
        """
        view = self.files.view(self.key, self.photos.photos[name].sha256)
        if view is None:
            raise OSError(f"the aligned depth of {name} cannot be read any more")
        open_parts = self.photos.open_pixels(name)
        if open_parts is None:
            return view
        return replace(view, confidence=np.where(open_parts, view.confidence, 0.0))

    def cleaned(self) -> Iterator[tuple[str, DenseView, Mask]]:
        """Each photo, and its pixels (H, W) whose points lie before what a more confident photo sees."""
        views = _Views(self)
        for name, confidence in zip(views.names, cleaned_confidence(views), strict=True):
            view = self.view(name)
            yield name, view, (confidence == 0) & (view.confidence > 0)

    def scale_of(self, model: pycolmap.Reconstruction) -> float | None:
        """Units of the model per unit of the alignment; None where its poses are others."""
        names = sorted(self.photos.photos)
        ids = {model.image(i).name: i for i in model.reg_image_ids()}
        theirs = [model.image(ids[name]).cam_from_world() for name in names]
        ours, depths = [], []
        for name in names:
            view = self.view(name)
            ours.append(_pose(view, self.photos, name))
            depths.append(np.median(view.depth))
        turns = [b.rotation.matrix().T @ a.rotation.matrix() for a, b in zip(ours, theirs, strict=True)]
        if np.abs(np.array(turns) - turns[0]).max() > _SAME_TURN:
            return None
        depth = float(np.median(depths))
        here = np.array([turns[0] @ pose.inverse().translation for pose in ours])
        there = np.array([pose.inverse().translation for pose in theirs])
        here, there = here - here.mean(axis=0), there - there.mean(axis=0)
        if np.abs(here).max() < _LEAST_BASELINE * depth:
            return self._scale_of_points(model, ids)
        scale = float((here * there).sum() / (here**2).sum())
        same = scale > 0 and np.abs(scale * here - there).max() <= _SAME_PLACE * scale * depth
        return scale if same else None

    def _scale_of_points(self, model: pycolmap.Reconstruction, ids: dict[str, int]) -> float | None:
        """Median of the model's depth over the aligned one, where the photos see points."""
        ratios = []
        for name, image_id in sorted(ids.items()):
            view, (xy, model_depth) = self.view(name), observed_points(model, image_id)
            depth = np.where(view.depth > 0, view.depth, np.nan).astype(np.float32)
            maps = DepthMaps(
                {name: ViewDepth(depth, view.confidence.astype(np.float32), 1, view.focal_px)},
                {name: self.photos.maps[name]},
                metric=False,
            )
            found = maps.at(name, xy)
            assert found is not None
            ratios.append((model_depth / found[0])[np.isfinite(found[0]) & (model_depth > 0)])
        pooled = np.concatenate(ratios)
        return float(np.median(pooled)) if pooled.size else None


def aligned_views(source: Source, photos: ViewPhotos) -> AlignedViews | None:
    """The aligned depth of a model; None where it has none, or where that is not in the cache any more."""
    files = AlignedDepthFiles(source.root / "cache" / FOLDER)
    contents = [photo.sha256 for photo in photos.photos.values()]
    keys = [
        key
        for event in read_events(source.events_path)
        if event.get("event") == "aligned"
        and isinstance(key := event.get("depth"), str)
        and _KEY.fullmatch(key)
    ]
    for key in reversed(keys):
        if photos.refused or not files.holds(key, contents):
            continue
        found = AlignedViews(files, key, photos, DepthOrigin("", ""))
        if all(_is_whole(found, name) for name in photos.photos):
            origin = files.origin(key, contents[0])
            return replace(found, origin=origin) if origin is not None else None
    if keys:
        log.warning(
            "the aligned depth of the photos is not in %s any more, or of another size: the network is asked",
            files.folder,
        )
    return None


class _Views(Sequence[DenseView]):
    """Views by number, read when they are asked for."""

    def __init__(self, aligned: AlignedViews) -> None:
        self.names = sorted(aligned.photos.photos)
        self._view = lru_cache(_IN_MEMORY)(aligned.view)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> DenseView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DenseView]: ...
    def __getitem__(self, index: int | slice) -> DenseView | Sequence[DenseView]:
        if isinstance(index, slice):
            return [self._view(name) for name in self.names[index]]
        return self._view(self.names[index])


def _is_whole(aligned: AlignedViews, name: str) -> bool:
    view = aligned.files.view(aligned.key, aligned.photos.photos[name].sha256)
    return view is not None and view.depth.shape == aligned.photos.maps[name].size


def _pose(view: DenseView, photos: ViewPhotos, name: str) -> pycolmap.Rigid3d:
    """Of the camera as the photo is stored."""
    upright = pycolmap.Rigid3d(pycolmap.Rotation3d(view.rotation), view.centre).inverse()
    found = posed_image(upright, view.focal_px, view.principal_point, photos.maps[name])
    return upright if found is None else found.cam_from_world
