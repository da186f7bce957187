"""Collections of many kinds in which some things are there twice, with exact poses and depth."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..camera import look_at, radial_lens
from ..dataset import Photo
from ..quads import random_for
from .indoors import room, stairs, wallpaper
from .land import fields, forest
from .layout import Layout, poses
from .streets import brick, rows, symmetric, yard
from .tabletop import clutter, desk, turned

KINDS: dict[str, Callable[[int], Layout]] = {
    "desk": desk,
    "object": turned,
    "room": room,
    "rows": rows,
    "symmetric": symmetric,
    "wallpaper": wallpaper,
    "fields": fields,
    "brick": brick,
    "stairs": stairs,
    "forest": forest,
    "clutter": clutter,
    "yard": yard,
}
SIZE = (512, 384)
FRAMES = 72
"""Of a video."""
SHUTTER_PX = 0.3
"""Root mean square by which a rolling shutter shifts the rows of a video's frames."""


def plan_kind(
    kind: str, seed: int, *, shuffled: bool = False, views: int | None = None, width: int = SIZE[0]
) -> list[Photo]:
    """The photos of a collection, not yet rendered; odd seeds are photographed in two passes.

    `shuffled` numbers them in an order by chance instead of the one in which they were taken.
    """
    layout = KINDS[kind](seed)
    rng = random_for(seed, f"photos of {kind}")
    passes = 1 + seed % 2
    count = views or int(rng.integers(20, 37) if passes == 1 else rng.integers(30, 46))
    focal, k1 = float(rng.uniform(0.75, 1.05)) * width, float(rng.uniform(-0.08, 0.02))
    camera = radial_lens(width, width * 3 // 4, focal, k1)
    taken = poses(layout, rng, count, passes)
    order = random_for(seed, "order").permutation(count) if shuffled else range(count)
    return [
        Photo(f"photo_{number:02d}.jpg", replace(camera), taken[i], layout.scene, kind)
        for number, i in enumerate(order)
    ]


def plan_video(kind: str, seed: int, *, views: int | None = None, width: int = SIZE[0]) -> list[Photo]:
    """The frames of a video of the first pass, not yet rendered: a hand sways, the shutter rolls."""
    layout = KINDS[kind](seed)
    rng = random_for(seed, f"video of {kind}")
    focal, k1 = float(rng.uniform(0.75, 1.05)) * width, float(rng.uniform(-0.08, 0.02))
    lens = radial_lens(width, width * 9 // 16, focal, k1)
    photos, count = [], views or FRAMES
    for number in range(count):
        eye, target = (np.asarray(part) for part in layout.stop((number + 0.5) / count, 0))
        beat = number / 9
        sway = layout.sway_m * np.array([np.sin(beat), np.cos(1.3 * beat), 0.5 * np.sin(1.7 * beat)])
        camera = replace(lens, shake_px=SHUTTER_PX, shake_seed=number)
        pose = look_at(eye + sway, target + 0.5 * sway)
        photos.append(Photo(f"frame_{number:03d}.jpg", camera, pose, layout.scene, kind))
    return photos
