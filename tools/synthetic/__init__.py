"""Our own textured scenes with exact poses and depth: numpy and Pillow only."""

from .camera import PinholeRadial, Pose, look_at, rolled
from .dataset import Photo, write_dataset
from .layouts import Scene, square, street
from .raycast import Renderer
from .viewpoints import overview, ring, walk

__all__ = [
    "Photo",
    "PinholeRadial",
    "Pose",
    "Renderer",
    "Scene",
    "look_at",
    "overview",
    "ring",
    "rolled",
    "square",
    "street",
    "walk",
    "write_dataset",
]
