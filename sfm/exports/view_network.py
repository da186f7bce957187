"""The network over the photos of a finished workspace, to ask for depth once more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from sfm.errors import MissingDependencyError, WeightsError
from sfm.exports.source import Source
from sfm.exports.view_photos import ViewPhotos
from sfm.matching.dense.depth.aligned_depth import DepthOrigin
from sfm.matching.dense.depth.view_depth import ViewInference
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.inference.photos import EncodedPhotos
from sfm.matching.dense.inference.predictors import Loaded, open_predictor
from sfm.matching.dense.inference.token_cache import open_token_cache


@dataclass(frozen=True, slots=True)
class ViewNetwork:
    """The network over the registered photos of a model."""

    loaded: Loaded
    photos: ViewPhotos
    inference: ViewInference

    @property
    def maps(self) -> dict[str, PhotoMap]:
        """Where the network's pixels lie in each photo."""
        return self.photos.maps

    @property
    def origin(self) -> DepthOrigin:
        """What its depth comes from."""
        return DepthOrigin(self.loaded.predictor.key, self.loaded.notice)


def open_network(source: Source, photos: ViewPhotos, scratch: Path) -> ViewNetwork:
    """Load the network with the options of the run.

    `scratch` is an existing folder for files that are only needed meanwhile.

    Raises:
        WeightsError: the network's weights are missing or unusable.
        MissingDependencyError: the device that was asked for is missing.
    """
    dense, threads = photos.dense, photos.config.run.num_threads
    torch.set_num_threads(threads)
    try:
        loaded = open_predictor(dense)
    except (WeightsError, MissingDependencyError) as error:
        raise type(error)(f"depth comes from the mast3r network: {error}", hint=error.hint) from error
    cache = source.root / "cache"
    # The export of a workspace that may only be read still works, without its tokens for next time.
    cache = cache if cache.is_dir() and os.access(cache, os.W_OK) else scratch
    tokens = open_token_cache(cache, loaded.predictor, dense)
    encoded = EncodedPhotos(photos.photos, photos.maps, loaded.predictor, tokens, dense.image_size, threads)
    return ViewNetwork(loaded, photos, ViewInference(loaded.predictor, encoded, dense.batch_size))
