"""Collections of many kinds in which some things are there twice, with exact poses and depth."""

from collections.abc import Callable
from dataclasses import replace

from ..camera import radial_lens
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
