"""Places on Earth (WGS84) and the local frames in which models stand: east, north, up in metres."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.types import Collection, Exif

Positions = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """A geodetic position on the WGS84 ellipsoid."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None
    """Above the ellipsoid or above sea level, whichever the receiver writes; None where it writes nothing."""


def exif_place(exif: Exif) -> Place | None:
    """Where an image with such metadata was taken; None without GPS."""
    if exif.latitude_deg is None or exif.longitude_deg is None:
        return None
    return Place(exif.latitude_deg, exif.longitude_deg, exif.altitude_m)


def exif_places(collection: Collection) -> dict[str, Place]:
    """Where the images with GPS in their metadata were taken, by name, in the collection's order."""
    places = ((image.name, exif_place(image.exif)) for image in collection.photos)
    return {name: place for name, place in places if place is not None}


def enu_origin(places: Mapping[str, Place]) -> Place:
    """The origin of a local frame in the middle of some places: medians, so that strays do not move it.

    Raises:
        ValueError: there is no place.
    """
    if not places:
        raise ValueError("no place to put an origin at")
    altitudes = [place.altitude_m for place in places.values() if place.altitude_m is not None]
    altitude = float(np.median(altitudes)) if altitudes else 0.0
    # In Cartesian coordinates, because longitudes jump where east meets west.
    transform = pycolmap.GPSTransform()
    middle = np.median(transform.ellipsoid_to_ecef(_rows(places, altitude)), axis=0)
    latitude, longitude, _ = transform.ecef_to_ellipsoid(middle[None])[0].tolist()
    return Place(latitude, longitude, altitude)


def enu_positions(places: Mapping[str, Place], origin: Place | None = None) -> dict[str, Positions]:
    """Metres east, north and up `(3,)` float64 of each place, in the tangent plane at `origin`.

    Args:
        places: by the name of the image.
        origin: where the frame stands; None: `enu_origin(places)`. Without an altitude it lies at 0 m.

    Returns:
        One position a place, in their order; `up` is NaN where the place has no altitude.
    """
    if not places:
        return {}
    origin = origin or enu_origin(places)
    transform, at = pycolmap.GPSTransform(), _rows({"": origin})[0]
    level = np.array([place.altitude_m is not None for place in places.values()])
    rows = _rows(places, float(at[2]))
    enu = np.asarray(transform.ellipsoid_to_enu(rows, *at), np.float64)
    enu[~level, 2] = np.nan
    return {name: enu[index] for index, name in enumerate(places)}


def _rows(places: Mapping[str, Place], altitude: float = 0.0) -> Positions:
    """Latitude, longitude (deg) and altitude (m), `(N, 3)`."""
    return np.array(
        [
            (p.latitude_deg, p.longitude_deg, altitude if p.altitude_m is None else p.altitude_m)
            for p in places.values()
        ],
        np.float64,
    ).reshape(-1, 3)
