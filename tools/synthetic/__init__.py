"""Our own textured scenes with exact poses and depth: numpy and Pillow only."""

from .camera import PinholeRadial, Pose, look_at
from .dataset import Photo, photograph, write_dataset
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
    "photograph",
    "ring",
    "square",
    "street",
    "walk",
    "write_dataset",
]
