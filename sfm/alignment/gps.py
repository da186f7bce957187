"""Where images were taken: from the pose priors of a database, else from EXIF."""

import sqlite3
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.sqlite_files import open_read_only
from sfm.errors import InputError
from sfm.geometry.wgs84 import Place, enu_origin, enu_positions, exif_place
from sfm.ingest.decode import UnusablePhotoError, exif_tables, open_photo, stored_size
from sfm.ingest.exif import parse_metadata
from sfm.untrusted.names import path_below

_MIN_PLACES = 3
_POSITION_BYTES = 24


def gps_positions(
    names: list[str], *, database: Path | None, images: Path | None
) -> tuple[dict[str, NDArray[np.float64]], Place]:
    """Metres east, north and up (3,) of the images with GPS and altitude, and the origin of that frame.

    Args:
        names: images that are asked about.
        database: whose pose priors are read; None: EXIF is.
        images: folder of the images; only needed without a database.

    Raises:
        InputError: fewer than three of the images have a position.
    """
    places = _from_database(database, names) if database else _from_exif(images, names) if images else {}
    level = {name: place for name, place in places.items() if place.altitude_m is not None}
    if len(level) < _MIN_PLACES:
        raise InputError(
            f"{len(level)} of the model's {len(names)} photos have a GPS position with altitude, "
            f"{_MIN_PLACES} are needed",
            hint="with a model that is no OUT of a run, say where its photos are: --images FOLDER",
        )
    origin = enu_origin(level)
    return enu_positions(level, origin), origin


def _from_database(database: Path, names: list[str]) -> dict[str, Place]:
    """Read without pycolmap, which would write to the file."""
    query = (
        "SELECT name, position FROM pose_priors JOIN images ON image_id = corr_data_id "
        "WHERE coordinate_system = ? AND position IS NOT NULL"
    )
    wanted, wgs84 = set(names), int(pycolmap.PosePriorCoordinateSystem.WGS84)
    try:
        with open_read_only(database) as db:
            rows = db.execute(query, (wgs84,)).fetchall()
    except sqlite3.DatabaseError as error:
        raise InputError(f"{database} is not a COLMAP 4 database: {error}") from error
    found = {}
    for name, position in rows:
        if not isinstance(position, bytes) or len(position) != _POSITION_BYTES:
            raise InputError(f"{database}: the position of {name!r} is damaged: three numbers belong there")
        latitude, longitude, altitude = np.frombuffer(position, np.float64).tolist()
        if name in wanted and abs(latitude) <= 90 and abs(longitude) <= 180:  # NaN is none, too
            found[name] = Place(latitude, longitude, altitude if np.isfinite(altitude) else None)
    return found


def _from_exif(images: Path, names: list[str]) -> dict[str, Place]:
    found = {}
    for name in names:
        path = path_below(images, name)
        try:
            with open_photo(path) as image:
                exif = parse_metadata({}, {}, exif_tables(image)[2], size=stored_size(image)).exif
        except (OSError, UnusablePhotoError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        if place := exif_place(exif):
            found[name] = place
    return found
