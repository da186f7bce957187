"""Places on Earth, from metres."""

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.geometry.wgs84 import Place


def geodetic_places(enu: NDArray[np.float64], origin: Place) -> list[Place]:
    """The places of positions `(N, 3)` east, north, up in metres."""
    at = origin.latitude_deg, origin.longitude_deg, origin.altitude_m or 0.0
    return [Place(*row) for row in np.asarray(pycolmap.GPSTransform().enu_to_ellipsoid(enu, *at)).tolist()]
