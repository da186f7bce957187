"""The photos of a finished workspace, and where the pixels of the network's images lie in them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfm.config.loading import load_config
from sfm.config.schema import Config, Mast3rConfig
from sfm.errors import InputError
from sfm.exports.source import Source
from sfm.exports.undistortion import check_photo
from sfm.exports.view_maps import turned_to_stored
from sfm.ingest import masks_dir
from sfm.ingest.decode import UnusablePhotoError, load_rgb, open_photo, stored_orientation
from sfm.mast3r.network.image_input import network_photo
from sfm.matching.dense.inference.masking import load_masks
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.inference.photos import photo_maps
from sfm.types import Collection, Exif, Photo
from sfm.untrusted.names import path_below

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ViewPhotos:
    """The registered photos of a model."""

    photos: dict[str, Photo]
    maps: dict[str, PhotoMap]
    refused: dict[str, str]
    """Photos that the network cannot take, and why."""
    config: Config

    @property
    def dense(self) -> Mast3rConfig:
        """Options of the network."""
        return self.config.mast3r

    @property
    def image_size(self) -> int:
        """Longer side of the network's images, px."""
        return self.dense.image_size

    @property
    def orientations(self) -> dict[str, int]:
        """EXIF orientation by name."""
        return {name: photo.orientation for name, photo in self.photos.items()}

    def open_pixels(self, name: str) -> NDArray[np.bool_] | None:
        """(H, W) of the network's image, False where the photo's mask is black; None without a mask."""
        mask = load_masks({name: self.photos[name]}).get(name)
        if mask is None:
            return None
        height, width = self.maps[name].size
        x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
        where = self.maps[name].to_photo(np.stack((x, y), axis=-1).reshape(-1, 2)).astype(np.int64)
        columns, rows = np.minimum(where, np.array(mask.shape[::-1]) - 1).T
        return np.asarray(mask[rows, columns].reshape(height, width))

    def colours(self, name: str) -> NDArray[np.uint8]:
        """(H, W, 3) red, green, blue of the network's image, turned as the photo is stored.

        Raises:
            InputError: the photo cannot be read any more.
        """
        photo = self.photos[name]
        try:
            pixels = load_rgb(photo.path)
        except (OSError, UnusablePhotoError) as error:
            raise InputError(f"{photo.path}: cannot be read any more ({error})") from error
        upright = network_photo(pixels, name, size=self.image_size)[0].pixels
        return np.asarray(turned_to_stored(upright, photo.orientation), np.uint8)


def view_photos(source: Source) -> ViewPhotos:
    """Find the photos of a model, as the network's options of its run see them.

    Raises:
        InputError: a photo is missing or has changed since the run.
    """
    config = _config(source)
    photos = {photo.name: photo for photo in _photos(source, config)}
    maps, refused = photo_maps(Collection(tuple(photos.values()), {}), config.mast3r.image_size)
    return ViewPhotos(photos, maps, refused, config)


def _config(source: Source) -> Config:
    if source.config is not None:
        return source.config
    run_json = source.root / "run.json"
    is_known = run_json.is_file()
    if not is_known:
        log.warning("%s is not there: options of the network are the defaults", run_json)
    overrides = source.depth.overrides if source.depth else ()
    if source.threads is not None:
        overrides = (*overrides, f"run.threads={source.threads}")
    return load_config(run_json if is_known else None, overrides=overrides)


def _photos(source: Source, config: Config) -> Iterable[Photo]:
    cache = source.root / "cache"
    masks = (
        masks_dir(cache) if config.images.masks is not None or (cache / "overlays.json").is_file() else None
    )
    for image_id in sorted(source.model.reg_image_ids()):
        image = source.model.image(image_id)
        camera = source.model.camera(image.camera_id)
        path = path_below(source.images, image.name)
        check_photo(path, camera)
        mask = path_below(masks, f"{image.name}.png") if masks is not None else None
        yield Photo(
            name=image.name,
            path=path,
            source=path,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            width=camera.width,
            height=camera.height,
            orientation=_orientation(path),
            camera_id=image.camera_id,
            exif=Exif(),
            mask=mask if mask is not None and mask.is_file() else None,
        )


def _orientation(path: Path) -> int:
    try:
        with open_photo(path) as image:
            return stored_orientation(image)
    except (OSError, UnusablePhotoError) as error:
        raise InputError(f"{path}: cannot be read any more ({error})") from error
