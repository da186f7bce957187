"""A small rendered room that the oracle answers from."""

from pathlib import Path

import numpy as np

from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.mast3r.oracle.oracle import OraclePredictor
from tests import rooms
from tests.rooms import Shot

SIZE = 128
SHOTS = {
    "left.jpg": Shot((-3.0, -4, 1.6)),
    "right.jpg": Shot((1.0, -4.5, 1.7)),
    "close.jpg": Shot((0.5, -1.5, 1.6)),
    "away.jpg": Shot((-3.0, -4, 1.6), (-1.0, -20, 6)),
    "elsewhere.jpg": Shot((-3.0, -4, 1.6), component="there"),
    "upright.jpg": Shot((1.0, -4, 1.6), size=(120, 160), k1=0.0),
}
"""left, right and close see the same, away looks into the open, elsewhere is another place with the same
coordinates as left."""


def write_room(folder: Path) -> None:
    """The room in six photos of 160 x 120 px with distortion."""
    rooms.write_room(folder, SHOTS)


def encoded(oracle: OraclePredictor, *names: str) -> list[EncodedPhoto]:
    photos = []
    for name in names:
        rows, columns = oracle.grid(f"{name}.jpg").size
        blank = NetworkPhoto(f"{name}.jpg", np.zeros((rows, columns, 3), np.uint8))
        photos.append(EncodedPhoto(blank.name, oracle.encode([blank])[0], blank.size))
    return photos


def projected(oracle: OraclePredictor, points: np.ndarray, name: str) -> np.ndarray:
    """Network pixels (N, 2) of world points in a photo."""
    view = oracle.view(f"{name}.jpg")
    local = points @ view.rotation.T + view.translation
    return oracle.grid(view.name).to_network(view.camera.img_from_cam(local))
