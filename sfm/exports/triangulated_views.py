"""Depth of every photo of a model, by triangulation of all its pixels with its partners.

The poses are the model's and stay, as in MASt3R's multi-view stereo (§4.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from sfm.errors import InputError, ReconstructionError
from sfm.exports.partners import Covisibility
from sfm.exports.pixel_matches import PixelMatches
from sfm.exports.source import DepthOptions, Source
from sfm.exports.view_maps import Grid, ViewMap, turned_to_stored
from sfm.exports.view_network import ViewNetwork, open_network
from sfm.exports.view_photos import view_photos
from sfm.geometry.pixel_points import PixelPoints
from sfm.ingest.decode import UnusablePhotoError, load_rgb
from sfm.mast3r.values import DenseMatches

_LEAST_SHARE = 0.3
"""Of its partners that must match a pixel for it to have a point."""
_AGREEING = 2
"""Partners in which the point must lie where the match is."""
_MAX_ERROR_PX = 1.0
"""Of that, in pixels of the images that are matched."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TriangulatedViews:
    """Triangulated photos of a model; their maps lie on disk and are read singly."""

    model: pycolmap.Reconstruction
    covisibility: Covisibility
    network: ViewNetwork
    folder: Path
    grids: Mapping[int, Grid]
    """Pixels that are triangulated, by image id."""
    left_out: Mapping[str, str]
    """Photos without points, and why."""

    @property
    def image_ids(self) -> Mapping[str, int]:
        """Photos with points, by name."""
        return {name: i for i in self.grids if (name := self.model.image(i).name) not in self.left_out}

    def view(self, name: str) -> ViewMap:
        """Depth of a photo, with the sum of its matches' confidences."""
        image_id = self.image_ids[name]
        image = self.model.image(image_id)
        depth, confidence = np.load(self.folder / f"{image_id}.npy")
        return ViewMap(image, self.model.camera(image.camera_id), self.grids[image_id], depth, confidence)

    def contradicted(self, name: str) -> None:
        """Nothing is known before the photos are compared."""

    def colours(self, name: str) -> NDArray[np.uint8]:
        """(H, W, 3) red, green, blue of the pixels of `view`.

        Raises:
            InputError: the photo cannot be read any more.
        """
        photo, grid = self.network.photos.photos[name], self.grids[self.image_ids[name]]
        try:
            stored = Image.fromarray(turned_to_stored(load_rgb(photo.path), photo.orientation))
        except (OSError, UnusablePhotoError) as error:
            raise InputError(f"{photo.path}: cannot be read any more ({error})") from error
        (left, top), (width, height) = grid.offset, np.multiply(grid.scale, grid.size)
        box = (max(left, 0), max(top, 0), min(left + width, stored.width), min(top + height, stored.height))
        return np.asarray(stored.resize(grid.size, Image.Resampling.BOX, box=box))


@contextmanager
def triangulated_views(source: Source, folder: Path) -> Iterator[TriangulatedViews]:
    """Match every pixel of each registered photo with its partners, and triangulate what agrees.

    `folder` exists. It receives 8 bytes a pixel of each photo, and the matches that are still needed; all is
    deleted when the context ends.

    Raises:
        WeightsError, MissingDependencyError: there is no network, or not the device.
        InputError: a photo is missing or has changed since the run.
        ReconstructionError: no photo has points.
    """
    options = source.depth or DepthOptions()
    if source.model.num_reg_images() < 2:
        raise ReconstructionError(
            "the model has one photo, and points are triangulated from pairs of photos",
            hint="sfm export --to views writes the depth that the network gives it",
        )
    with TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        network = open_network(source, view_photos(source), scratch)
        covisibility = Covisibility.of(source.model)
        _, failed = network.inference.photos.encode_missing(source.progress)
        left_out = {**network.photos.refused, **failed}
        usable = {i for i in source.model.reg_image_ids() if source.model.image(i).name not in left_out}
        partners = {
            i: [j for j in covisibility.partners(i, options.pairs_per_view) if j in usable]
            for i in sorted(usable)
        }
        matches = PixelMatches(source.model, network, partners, scratch, options.full_size)
        grids = {i: matches.grid(i) for i in partners}
        views = TriangulatedViews(source.model, covisibility, network, scratch, grids, left_out)
        with source.progress.task("triangulate", sum(map(len, partners.values())), unit="pairs") as task:
            for image_id in partners:
                if why := _triangulate(views, image_id, matches.of(image_id, task.advance)):
                    left_out[source.model.image(image_id).name] = why
        if not views.image_ids:
            raise ReconstructionError(
                f"no photo of the model has points: {next(iter(left_out.values()), 'it has no photos')}",
                hint="with the official weights this means that the model is wrong",
            )
        yield views


def _triangulate(views: TriangulatedViews, image_id: int, matches: Mapping[int, DenseMatches]) -> str:
    """Write the map of a photo; returns why it has no points."""
    if not matches:
        return "no photo of the model matches it"
    grid, image = views.grids[image_id], views.model.image(image_id)
    points = PixelPoints(grid.size[0] * grid.size[1])
    seen: dict[int, tuple[NDArray[np.int64], Float64]] = {}
    for other, found in matches.items():
        pixels, rows = _best_of_pixels(grid, found)
        xy, xy_other = found.xy_a[rows].astype(np.float64), found.xy_b[rows].astype(np.float64)
        (first, undistorted), (second, undistorted_other) = (
            _undistorted(views.model, i, where) for i, where in ((image_id, xy), (other, xy_other))
        )
        confidence = found.confidence[rows].astype(np.float64)
        points.add(pixels, (first, second), (undistorted, undistorted_other), confidence)
        seen[other] = pixels, xy_other
    pose = image.cam_from_world().matrix()
    depth = points.points() @ pose[2, :3] + pose[2, 3]
    with np.errstate(invalid="ignore"):
        usable = (points.num_partners >= max(1.0, _LEAST_SHARE * len(matches))) & (depth > 0)
    shape = grid.size[::-1]
    view = ViewMap(
        image,
        views.model.camera(image.camera_id),
        grid,
        np.where(usable, depth, 0.0).reshape(shape).astype(np.float32),
        points.confidence.reshape(shape).astype(np.float32),
    )
    good = _agreeing(views, view, seen) >= min(_AGREEING, len(matches))
    known = np.where(good.reshape(shape), view.depth, 0.0)
    np.save(views.folder / f"{image_id}.npy", np.stack((known, view.confidence)))
    return "" if known.any() else "its matches contradict the poses of the model"


def _agreeing(
    views: TriangulatedViews, view: ViewMap, seen: Mapping[int, tuple[NDArray[np.int64], Float64]]
) -> NDArray[np.int64]:
    """Partners in which the points of a photo's pixels lie where their matches are, (H * W,).

    Args:
        seen: pixels (M,) of the photo and where matches of a partner are, (M, 2) px, by the partner's id.
    """
    known = view.depth > 0
    world = np.full((known.size, 3), np.nan)
    world[known.ravel()] = view.world_points(known)
    agreeing = np.zeros(known.size, np.int64)
    for other, (pixels, xy) in seen.items():
        image = views.model.image(other)
        local = image.cam_from_world() * world[pixels]
        error = np.full(len(pixels), np.inf)
        in_front = np.nan_to_num(local[:, 2], nan=-1.0) > 0
        where = np.asarray(views.model.camera(image.camera_id).img_from_cam(local[in_front]), np.float64)
        error[in_front] = np.linalg.norm(where - xy[in_front], axis=1)
        agreeing[pixels] += error <= _MAX_ERROR_PX * float(np.mean(views.grids[other].scale))
    return agreeing


def _best_of_pixels(grid: Grid, matches: DenseMatches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels (K,) of a photo that have a match, and the row (K,) of the most confident match of each."""
    pixels, inside = grid.pixels(matches.xy_a.astype(np.float64))
    rows = np.flatnonzero(inside)
    rows = rows[np.argsort(-matches.confidence[rows], kind="stable")]
    found, first = np.unique(pixels[rows], return_index=True)
    return found, rows[first]


def _undistorted(model: pycolmap.Reconstruction, image_id: int, xy: Float64) -> tuple[Float64, Float64]:
    """A photo as one without lens distortion, its principal point at zero: projection (3, 4), positions
    (M, 2), NaN where distortion cannot be undone."""
    image = model.image(image_id)
    camera = model.camera(image.camera_id)
    focal = np.array([camera.focal_length_x, camera.focal_length_y])
    projection = np.diag([*focal, 1.0]) @ image.cam_from_world().matrix()
    return projection, np.asarray(camera.cam_from_img(xy), np.float64) * focal
