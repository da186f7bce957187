"""Photos that a model was built without: where it says that they are, and what it says that they show.

Both are stand-ins, on any machine, for training a scene representation and looking at new views: a model
whose poses are off places held-out photos wrongly, and its points project onto other colours.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sfm.colmap.model_poses import Poses
from sfm.evaluation.metrics import centres
from sfm.geometry.similarity import extent, fit_similarity_robustly

EVERY = 8
"""One photo in so many is held out, the first of each; as novel-view benchmarks have it."""
_MIN_POINTS = 20
_MAX_PARTNERS = 3

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placed:
    """A held-out photo that was localised, in the model's frame."""

    name: str
    pose: pycolmap.Rigid3d
    camera: pycolmap.Camera
    partners: tuple[str, ...]
    """Photos of the model whose points it is from, most points first."""


@dataclass(frozen=True, slots=True)
class PlaceErrors:
    """Of held-out photos against reference poses; a photo that was not localised is infinitely far off."""

    centre_percent: float | None
    """Median distance of the centres, in per cent of the extent; None where half were not localised."""
    rotation_deg: float | None
    """Median angle."""


def split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Photos to build from, and those held out."""
    ordered = sorted(names)
    held = ordered[::EVERY]
    return [name for name in ordered if name not in set(held)], held


def read_placed(poses_file: Path) -> list[Placed]:
    """The photos that `sfm localize` gave a pose in the largest model."""
    queries = json.loads(poses_file.read_text(encoding="utf-8", errors="surrogateescape"))["queries"]
    placed = []
    for query in queries:
        if query["state"] != "localised" or query["model"] != 0:
            continue
        told = query["camera"]
        camera = pycolmap.Camera.create_from_model_name(1, told["model"], 1.0, told["width"], told["height"])
        camera.params = told["params"]
        rotation = pycolmap.Rotation3d(np.array(query["R_cw"]))
        pose = pycolmap.Rigid3d(rotation, np.array(query["t_cw"]))
        placed.append(Placed(query["name"], pose, camera, tuple(query["partners"])))
    return placed


def place_errors(
    model: Poses, placed: Sequence[Placed], reference: Poses, held: Sequence[str]
) -> PlaceErrors:
    """Distances and angles after the similarity that fits the model's photos to the reference.

    Args:
        model: poses of the photos that were not held out.
        placed: held-out photos that were localised.
        reference: true poses, or the best that are known, of both.
        held: names of all held-out photos that have a reference.
    """
    common = sorted(model.keys() & reference.keys())
    target = centres(reference, common)
    fit = fit_similarity_robustly(centres(model, common), target)
    if fit is None or not held:
        return PlaceErrors(None, None)
    turn = fit.rotation
    found = {photo.name: photo for photo in placed}
    distances, angles = [], []
    for name in held:
        photo = found.get(name)
        if photo is None:
            distances.append(math.inf)
            angles.append(math.inf)
            continue
        centre = fit * photo.pose.inverse().translation
        true = reference[name]
        distances.append(100 * float(np.linalg.norm(centre - true.inverse().translation)) / extent(target))
        left = true.rotation * turn * photo.pose.rotation.inverse()
        angles.append(math.degrees(left.angle()))
    return PlaceErrors(_finite(median(distances)), _finite(median(angles)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def colour_difference(
    model: pycolmap.Reconstruction, photo: Placed, held_photos: Path, photos: Path
) -> float | None:
    """Median absolute difference of grey values (0 to 255) between a held-out photo and its partners.

    Each point that a partner observes is projected into the held-out photo; the grey value there is compared
    with that at the partner's keypoint, after the factor between the two exposures is taken out. None where
    few points fall into the photo, or a photo's size is not its camera's.
    """
    images = {image.name: image for image in model.images.values() if image.has_pose}
    target = _grey(held_photos / photo.name, photo.camera)
    if target is None:
        return None
    ratios, differences = [], []
    for name in photo.partners[:_MAX_PARTNERS]:
        image = images.get(name)
        source = None if image is None else _grey(photos / name, model.camera(image.camera_id))
        if image is None or source is None:
            continue
        seen = [p for p in image.points2D if p.has_point3D()]
        places = np.array([p.xy for p in seen]).reshape(-1, 2)
        points = np.array([model.point3D(p.point3D_id).xyz for p in seen]).reshape(-1, 3)
        projected, inside = _project(points, photo)
        here, there = _sample(target, projected[inside]), _sample(source, places[inside])
        if len(here) < _MIN_POINTS:
            continue
        ratio = float(np.median(here + 1) / np.median(there + 1))
        ratios.append(ratio)
        differences.append(np.abs(here - ratio * there))
    return float(np.median(np.concatenate(differences))) if differences else None


def _project(points: Array, photo: Placed) -> tuple[Array, NDArray[np.bool_]]:
    """Pixels (N, 2) of points (N, 3), and which lie in the photo, before the camera."""
    local = points @ photo.pose.rotation.matrix().T + photo.pose.translation
    ahead = local[:, 2] > 1e-9
    pixels = np.full((len(points), 2), -1.0)
    if ahead.any():
        pixels[ahead] = photo.camera.img_from_cam(local[ahead])
    size = np.array([photo.camera.width, photo.camera.height])
    return pixels, np.all((pixels >= 0.5) & (pixels <= size - 0.5), axis=1)


def _grey(path: Path, camera: pycolmap.Camera) -> Array | None:
    """(H, W) grey values of a photo as its camera sees it; None where the sizes differ."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("L")
    if upright.size != (camera.width, camera.height):
        return None
    return np.asarray(upright, dtype=np.float64)


def _sample(image: Array, pixels: Array) -> Array:
    """Bilinear values at pixels (N, 2); the centre of the first pixel is (0.5, 0.5)."""
    height, width = image.shape
    x = np.clip(pixels[:, 0] - 0.5, 0, width - 1.000001)
    y = np.clip(pixels[:, 1] - 0.5, 0, height - 1.000001)
    column, row = x.astype(int), y.astype(int)
    fx, fy = x - column, y - row
    top = image[row, column] * (1 - fx) + image[row, column + 1] * fx
    bottom = image[row + 1, column] * (1 - fx) + image[row + 1, column + 1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)


def linked(names: Sequence[str], source: Path, folder: Path) -> Path:
    """A folder of links to some photos, made anew where it holds others."""
    wanted: Mapping[str, Path] = {name: (source / name).resolve() for name in names}
    there = {p.relative_to(folder).as_posix(): p.resolve() for p in folder.rglob("*") if p.is_symlink()}
    for name in there.keys() - wanted.keys():
        (folder / name).unlink()
    for name, path in wanted.items():
        if there.get(name) != path:
            (folder / name).unlink(missing_ok=True)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(path)
    return folder
