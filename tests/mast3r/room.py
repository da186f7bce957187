"""A small rendered room that the oracle answers from."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.mast3r.oracle.oracle import OraclePredictor

TOOLS = str(Path(__file__).resolve().parents[2] / "tools")
SIZE = 128


def write_room(folder: Path) -> None:
    """A wall, the ground and a box before the wall, in six photos of 160 x 120 px with distortion.

    left, right and close see the same, away looks into the open, elsewhere is another place with the same
    coordinates as left.
    """
    sys.path[:0] = [] if TOOLS in sys.path else [TOOLS]
    from synthetic import Photo, PinholeRadial, Scene, look_at, write_dataset
    from synthetic.quads import Quad, box, wall

    grey = np.full((8, 8, 3), 128, np.uint8)
    ground = Quad(np.array([-9.0, -9, 0]), np.array([18.0, 0, 0]), np.array([0, 18.0, 0]), grey)
    back = wall(np.array([-9.0, 5]), np.array([9.0, 5]), 0, 2.6, grey)
    place = Scene((ground, back, *box((0, 2), (1.5, 1.0), (0, 1.2), grey)), (9.0, 9.0))
    camera = PinholeRadial(160, 120, focal_px=130, k1=-0.05)
    aim = np.array([0.0, 4.0, 1.0])

    def photo(name: str, eye: list[float], target: np.ndarray = aim, component: str = "here") -> Photo:
        return Photo(f"{name}.jpg", camera, look_at(np.array(eye), target), place, component)

    photos = [
        photo("left", [-3.0, -4, 1.6]),
        photo("right", [1.0, -4.5, 1.7]),
        photo("close", [0.5, -1.5, 1.6]),
        photo("away", [-3.0, -4, 1.6], np.array([-1.0, -20, 6])),
        photo("elsewhere", [-3.0, -4, 1.6], component="there"),
        replace(photo("upright", [1.0, -4, 1.6]), camera=PinholeRadial(120, 160, focal_px=130)),
    ]
    write_dataset(photos, folder, supersample=1, with_depth=True)


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
