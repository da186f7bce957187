"""Our own textured scenes with exact poses and depth: numpy, Pillow and pycolmap's camera models."""

from .camera import Lens, Pose, fisheye_lens, look_at, radial_lens, rolled
from .dataset import Photo, write_dataset
from .layouts import Scene, farmland, promenade, square, street, whitewashed
from .raycast import Renderer
from .towns import bridge, bridged_centre, crossings, district, facades, mouth
from .viewpoints import flight, overview, pan, panned, ring, stroll, tour, walk

__all__ = [
    "Lens",
    "Photo",
    "Pose",
    "Renderer",
    "Scene",
    "bridge",
    "bridged_centre",
    "crossings",
    "district",
    "facades",
    "farmland",
    "fisheye_lens",
    "flight",
    "look_at",
    "mouth",
    "overview",
    "pan",
    "panned",
    "promenade",
    "radial_lens",
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
