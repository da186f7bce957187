"""Which photos have a position, from the user's file or from their own GPS."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfm.config.schema import GeoreferenceConfig
from sfm.geometry.wgs84 import Place, enu_positions, exif_places
from sfm.ingest.positions import Sigmas, read_positions_file, with_heights
from sfm.types import Collection, PositionPrior

_MIN_POSITIONS = 3
_MIN_SHARE = 0.9
_MIN_SIGMAS = 3.0


def with_positions(collection: Collection, config: GeoreferenceConfig) -> Collection:
    """The collection with a position for each photo that has one; a file takes the place of all GPS.

    Raises:
        InputError: the file cannot be used; names the line.
    """
    sigmas = Sigmas(config.sigma_horizontal_m, config.sigma_vertical_m)
    if config.positions_file is not None:
        skipped = [skipped.name for skipped in collection.skipped]
        priors = read_positions_file(Path(config.positions_file), collection.names, sigmas, unused=skipped)
    else:
        priors = _from_exif(collection, sigmas)
    priors = with_heights(priors)
    photos = tuple(replace(photo, position=priors.get(photo.name)) for photo in collection.photos)
    return replace(collection, photos=photos)


def positions_m(collection: Collection) -> dict[str, NDArray[np.float64]]:
    """Metres `(3,)` of every photo with a position, for finding neighbours.

    In the frame of the user's file; or east, north and 0: heights by satellite drift within a flight by more
    than its strips are apart.
    """
    priors = {photo.name: photo.position for photo in collection.photos if photo.position is not None}
    if not all(prior.is_geodetic for prior in priors.values()):
        return {name: np.array(prior.xyz) for name, prior in priors.items()}
    enu = enu_positions({name: Place(*prior.xyz) for name, prior in priors.items()})
    return {name: xyz * np.array([1.0, 1.0, 0.0]) for name, xyz in enu.items()}


def tell_neighbours(collection: Collection) -> bool:
    """Whether nearly all photos have a position, and these lie far enough apart for their errors."""
    sigmas = [p.position.sigma_horizontal_m for p in collection.photos if p.position is not None]
    if len(sigmas) < max(_MIN_POSITIONS, _MIN_SHARE * len(collection.photos)):
        return False
    xyz = np.array(list(positions_m(collection).values()))
    away = np.linalg.norm(xyz - np.median(xyz, axis=0), axis=1)
    return bool(np.sqrt(np.mean(away**2)) > _MIN_SIGMAS * np.median(sigmas))


def _from_exif(collection: Collection, sigmas: Sigmas) -> dict[str, PositionPrior]:
    return {
        name: PositionPrior(
            (
                place.latitude_deg,
                place.longitude_deg,
                math.nan if place.altitude_m is None else place.altitude_m,
            ),
            True,
            sigmas.horizontal_m,
            sigmas.vertical_m,
        )
        for name, place in exif_places(collection).items()
    }
