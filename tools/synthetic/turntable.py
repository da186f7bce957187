"""A thing on a turntable before a camera on a tripod: what stands around it rests in the photos."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .camera import look_at, radial_lens
from .dataset import Photo
from .kinds.layout import floor, lit, spots, thing
from .kinds.materials import clouds, material, wood
from .layouts import Scene
from .quads import Quad, prism, random_for, wall

KIND = "turntable"
_PER_DM = 60.0
_PLATE_DM = 5.0
"""Side of the square plate that turns."""


def turntable(seed: int, *, views: int | None = None, width: int = 640) -> list[Photo]:
    """One turn in equal steps; odd seeds see it from twice as far. Poses and depth are relative to the thing.

    So the thing rests in the world, and the room turns about it with the camera.
    """
    rng = random_for(seed, KIND)
    turned, resting = lit(list(_thing(rng)), rng, scale=0.1), lit(list(_room(rng)), rng, scale=0.1)
    lens = radial_lens(width, width * 3 // 4, float(rng.uniform(0.85, 1.05)) * width, -0.02)
    count = views or int(rng.integers(24, 41))
    reach, height = float(rng.uniform(0.9, 1.1)) * (1 + seed % 2), float(rng.uniform(0.45, 0.6))
    photos = []
    for number in range(count):
        angle = 2 * np.pi * number / count
        eye = np.array([reach * np.sin(angle), -reach * np.cos(angle), height])
        scene = replace(turned, quads=(*turned.quads, *_about_vertical(resting, angle)))
        pose = look_at(eye, np.array([0.0, 0.0, 0.15]))
        photos.append(Photo(f"photo_{number:03d}.jpg", replace(lens), pose, scene, KIND))
    return photos


def _thing(rng: np.random.Generator) -> Iterator[Quad]:
    """A round thing among smaller ones on a plate."""
    radius, height = float(rng.uniform(1.0, 1.5)), float(rng.uniform(2.0, 3.5))
    yield floor(material(rng, (_PLATE_DM, _PLATE_DM), 30), (_PLATE_DM, _PLATE_DM), 0.1)
    side, top = (material(rng, (around, height), _PER_DM) for around in (2 * np.pi * radius, 2 * radius))
    yield from prism((0, 0), radius, 2 * int(rng.integers(4, 7)), (0.1, 0.1 + height), side, top=top)
    for place in spots(rng, 6, np.array([2.0, 2.0]), 0.8):
        if np.hypot(*place) > radius + 0.5:
            yield from thing(rng, tuple(rng.uniform(0.4, 1.0, 3)), _PER_DM).at(place, 0.1)


def _room(rng: np.random.Generator) -> Iterator[Quad]:
    """A table with things around the plate, before a wall."""
    yield floor(material(rng, (24, 20), _PER_DM, (wood, clouds)), (24, 20))
    yield floor(material(rng, (60, 60), 24), (60, 60), -7.5)
    back = material(rng, (40, 22), 30)
    yield wall(np.array([-20.0, 10.0]), np.array([20.0, 10.0]), -7.5, 14.0, back)
    for place in spots(rng, 12, np.array([9.0, 8.0]), 2.0):
        size = tuple(rng.uniform([0.7, 0.7, 0.5], [1.9, 1.9, 3.5]))
        if np.hypot(*place) > 0.75 * _PLATE_DM + 1.0 and place[1] > -4.0:
            yield from thing(rng, size, _PER_DM, package=rng.random() < 0.5).at(place)


def _about_vertical(scene: Scene, angle: float) -> Sequence[Quad]:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return [
        replace(quad, origin=turn @ quad.origin, edge_u=turn @ quad.edge_u, edge_v=turn @ quad.edge_v)
        for quad in scene.quads
    ]
