"""The network and the photos of a finished workspace, to ask for depth once more."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfm.config.loading import load_config
from sfm.config.schema import Config, Mast3rConfig
from sfm.errors import InputError, MissingDependencyError, WeightsError
from sfm.exports.source import Source
from sfm.exports.undistortion import check_photo
from sfm.ingest import masks_dir
from sfm.ingest.decode import UnusablePhotoError, open_photo, stored_orientation
from sfm.matching.dense.depth.view_depth import ViewInference
from sfm.matching.dense.inference.masking import load_masks
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.inference.photos import EncodedPhotos, photo_maps
from sfm.matching.dense.inference.predictors import Loaded, open_predictor
from sfm.matching.dense.inference.token_cache import open_token_cache
from sfm.types import Collection, Exif, Photo
from sfm.untrusted.names import path_below


@dataclass(frozen=True, slots=True)
class ViewNetwork:
    """The network over the registered photos of a model."""

    loaded: Loaded
    photos: dict[str, Photo]
    maps: dict[str, PhotoMap]
    refused: dict[str, str]
    """Photos that the network cannot take, and why."""
    inference: ViewInference
    config: Mast3rConfig

    @property
    def image_size(self) -> int:
        """Longer side of the network's images, px."""
        return self.config.image_size

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


def open_network(source: Source, scratch: Path) -> ViewNetwork:
    """Load the network with the options of the run, and find the photos.

    `scratch` is an existing folder for files that are only needed meanwhile.

    Raises:
        WeightsError: the network's weights are missing or unusable.
        MissingDependencyError: the device that was asked for is missing.
        InputError: a photo is missing or has changed since the run.
    """
    config = _config(source)
    dense = config.mast3r
    photos = {photo.name: photo for photo in _photos(source, config)}
    try:
        loaded = open_predictor(dense)
    except (WeightsError, MissingDependencyError) as error:
        raise type(error)(f"depth comes from the mast3r network: {error}", hint=error.hint) from error
    maps, refused = photo_maps(Collection(tuple(photos.values()), {}), dense.image_size)
    cache = source.root / "cache"
    # The export of a workspace that may only be read still works, without its tokens for next time.
    cache = cache if cache.is_dir() and os.access(cache, os.W_OK) else scratch
    tokens = open_token_cache(cache, loaded.predictor, dense)
    threads = config.run.threads or len(os.sched_getaffinity(0))
    encoded = EncodedPhotos(photos, maps, loaded.predictor, tokens, dense.image_size, threads)
    inference = ViewInference(loaded.predictor, encoded, dense.batch_size)
    return ViewNetwork(loaded, photos, maps, refused, inference, dense)


def _config(source: Source) -> Config:
    run_json = source.root / "run.json"
    return load_config(
        run_json if run_json.is_file() else None, overrides=source.depth.overrides if source.depth else ()
    )


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
