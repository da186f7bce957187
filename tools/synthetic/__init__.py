"""Our own textured scenes with exact poses and depth: numpy and Pillow only."""

from .camera import Fisheye, PinholeRadial, Pose, look_at, rolled
from .dataset import Photo, write_dataset
from .layouts import Scene, farmland, promenade, square, street, whitewashed
from .raycast import Renderer
from .towns import bridge, bridged_centre, crossings, district, facades, mouth
from .viewpoints import flight, overview, pan, panned, ring, stroll, tour, walk

__all__ = [
    "Fisheye",
    "Photo",
    "PinholeRadial",
    "Pose",
    "Renderer",
    "Scene",
    "bridge",
    "bridged_centre",
    "crossings",
    "district",
    "facades",
    "farmland",
    "flight",
    "look_at",
    "mouth",
    "overview",
    "pan",
    "panned",
    "promenade",
    "ring",
    "rolled",
    "square",
    "street",
    "stroll",
    "tour",
    "walk",
    "whitewashed",
    "write_dataset",
]
