"""A small rendered room, ground, a wall and a box before the wall, with the true depth of each photo."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Place = tuple[float, float, float]
Texture = NDArray[np.uint8]

_TOOLS = str(Path(__file__).resolve().parents[1] / "tools")


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo of the room; one of another component shows another room of the same coordinates."""

    eye: Place
    target: Place = (0.0, 4.0, 1.0)
    size: tuple[int, int] = (160, 120)
    focal_px: float = 130.0
    k1: float = -0.05
    component: str = "here"


def plain(colour: tuple[int, int, int] = (128, 128, 128)) -> Texture:
    """One colour."""
    return np.tile(np.array(colour, np.uint8), (8, 8, 1))


def speckled(seed: int, rows: int, columns: int) -> Texture:
    """Spots of all sizes, about the finest of which are four texels wide."""
    rng = np.random.default_rng(seed)
    total = np.zeros((rows, columns))
    for texels in (4, 12, 36):
        spots = rng.uniform(0, 255, (rows // texels + 1, columns // texels + 1)).astype(np.float32)
        total += np.asarray(Image.fromarray(spots).resize((columns, rows), Image.Resampling.BICUBIC)) / 3
    return np.clip(np.repeat(total[..., None], 3, axis=2), 0, 255).astype(np.uint8)


def write_room(
    folder: Path,
    shots: dict[str, Shot],
    *,
    height_m: float = 2.6,
    textures: Iterable[Texture] = (plain(), plain(), plain()),
    supersample: int = 1,
) -> Path:
    """Write `images/`, `depth/` and `gt.json`; `textures` are those of the ground, the wall and the box."""
    sys.path[:0] = [] if _TOOLS in sys.path else [_TOOLS]
    from synthetic import Photo, Scene, look_at, radial_lens, write_dataset
    from synthetic.quads import Quad, box, wall

    floor, front, side = textures
    ground = Quad(np.array([-9.0, -9, 0]), np.array([18.0, 0, 0]), np.array([0, 18.0, 0]), floor)
    back = wall(np.array([-9.0, 5]), np.array([9.0, 5]), 0, height_m, front)
    place = Scene((ground, back, *box((0, 2), (1.5, 1.0), (0, 1.2), side)), (9.0, 9.0))
    photos = [
        Photo(
            name,
            radial_lens(*shot.size, focal_px=shot.focal_px, k1=shot.k1),
            look_at(np.array(shot.eye), np.array(shot.target)),
            place,
            shot.component,
        )
        for name, shot in shots.items()
    ]
    write_dataset(photos, folder, supersample=supersample, with_depth=True)
    return folder
