"""Positions of cameras as the database holds them, in one local frame of metres."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.geometry.wgs84 import Place, enu_origin, enu_positions

_FAR_M = 1e4
"""Coordinates beyond this lose too much in the 32 bits of point clouds and viewers."""
_ROUND_M = 100.0


@dataclass(frozen=True, slots=True)
class PositionPrior:
    """A given position of one camera: metres and standard deviations `(3,)` in the local frame."""

    xyz: NDArray[np.float64]
    sigma: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PositionPriors:
    """Priors by image name, and where their local frame stands."""

    of: Mapping[str, PositionPrior]
    origin: Place | None
    """Of the frame east, north, up; None for positions in a frame of the user's own."""
    offset: tuple[float, float, float]
    """Added to local coordinates gives the user's; zero unless those are large."""


def read_position_priors(
    database: Path, *, sigma_horizontal_m: float, sigma_vertical_m: float
) -> PositionPriors | None:
    """All positions of the database that are in the commonest coordinate system; None where there is none.

    Both sigmas are for positions without a covariance. The database is only read.
    """
    with pycolmap.Database.open(database) as db:
        names = {image.image_id: image.name for image in db.read_all_images()}
        rows = [row for row in db.read_all_pose_priors() if row.has_position()]
    rows = [row for row in rows if row.corr_data_id.id in names]
    wgs84 = pycolmap.PosePriorCoordinateSystem.WGS84
    geodetic = [row for row in rows if row.coordinate_system == wgs84]
    is_geodetic = 2 * len(geodetic) > len(rows)
    chosen = geodetic if is_geodetic else [row for row in rows if row.coordinate_system != wgs84]
    if not chosen:
        return None
    default = np.array([sigma_horizontal_m, sigma_horizontal_m, sigma_vertical_m])
    sigmas = {names[row.corr_data_id.id]: _sigma(row, default) for row in chosen}
    if is_geodetic:
        places = {names[row.corr_data_id.id]: Place(*row.position.tolist()) for row in chosen}
        origin = enu_origin(places)
        enu = enu_positions(places, origin)
        priors = {name: PositionPrior(enu[name], sigmas[name]) for name in sorted(enu)}
        return PositionPriors(priors, origin, (0.0, 0.0, 0.0))
    xyz = {names[row.corr_data_id.id]: np.asarray(row.position, np.float64) for row in chosen}
    offset = _offset(np.array(list(xyz.values())))
    local = {name: PositionPrior(xyz[name] - offset, sigmas[name]) for name in sorted(xyz)}
    return PositionPriors(local, None, (float(offset[0]), float(offset[1]), float(offset[2])))


def _sigma(row: pycolmap.PosePrior, default: NDArray[np.float64]) -> NDArray[np.float64]:
    if not row.has_position_cov():
        return default
    variance = np.diag(np.asarray(row.position_covariance, np.float64))
    return np.sqrt(variance) if (variance > 0).all() else default


def _offset(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = np.median(xyz, axis=0)
    return np.round(middle / _ROUND_M) * _ROUND_M if np.abs(middle).max() > _FAR_M else np.zeros(3)
