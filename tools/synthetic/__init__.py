"""Our own textured scenes with exact poses and depth: numpy and Pillow only."""

from .camera import PinholeRadial, Pose, look_at, rolled
from .dataset import Photo, write_dataset
from .layouts import Scene, promenade, square, street, whitewashed
from .raycast import Renderer
from .viewpoints import overview, pan, ring, stroll, walk

__all__ = [
    "Photo",
    "PinholeRadial",
    "Pose",
    "Renderer",
    "Scene",
    "look_at",
    "overview",
    "pan",
    "promenade",
    "ring",
    "rolled",
    "square",
    "street",
    "stroll",
    "walk",
    "whitewashed",
    "write_dataset",
]
