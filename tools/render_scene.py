"""Render photographs of our own textured scenes, with exact poses, into a folder.

python tools/render_scene.py data/demo                       # the committed demo
python tools/render_scene.py OUT --scene street --views 200  # a long loop
python tools/render_scene.py OUT --scene two-squares         # two separate components
python tools/render_scene.py OUT --scene chain --views 10    # no point is in three photos
python tools/render_scene.py OUT --scene spin --views 12     # all from one spot
python tools/render_scene.py OUT --scene district --views 200  # several loops through streets
python tools/render_scene.py OUT --scene bridge --views 200    # two districts and an alley between them
python tools/render_scene.py OUT --scene facades --views 200   # streets with look-alike houses
python tools/render_scene.py OUT --scene terraces --views 200  # the same with pairs of look-alike houses
python tools/render_scene.py OUT --scene pan-street --views 60   # turning at each stop of a short walk
python tools/render_scene.py OUT --scene flight --shake 1.5 --focal   # flat fields from one height
python tools/render_scene.py OUT --fisheye --focal-factor 0.45 --k1 0.03   # 127 degrees wide
python tools/render_scene.py OUT --plain --depth             # shapes without texture
"""

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from synthetic import (
    Lens,
    Photo,
    Pose,
    Scene,
    farmland,
    fisheye_lens,
    flight,
    overview,
    pan,
    panned,
    promenade,
    radial_lens,
    ring,
    rolled,
    square,
    street,
    stroll,
    walk,
    whitewashed,
    write_dataset,
)
from town_tours import bridge_views, district_views

SCENES = (
    "square",
    "street",
    "two-squares",
    "chain",
    "spin",
    "district",
    "bridge",
    "facades",
    "terraces",
    "flight",
    "pan-square",
    "pan-street",
    "pan-district",
)
_LOOK_ALIKES: dict[str, Literal["none", "houses", "terraces"]] = {
    "district": "none",
    "facades": "houses",
    "terraces": "terraces",
}
CHAIN_DISTANCE_M = 6.0
CHAIN_STEP = 0.62
"""Of the width that a photo of a chain shows: above a half, so that the next but one shows nothing of it."""
SPIN_SPOT = (6.5, 3.5)
FLIGHT_HEIGHT_M = 100.0
_STEPS = {"pan-square": 40, "pan-street": 80, "pan-district": 240}
"""Of the whole way, of which a walker who turns at each stop goes the first."""
_TURNS = 10
"""Photos from one stop."""


@dataclass(frozen=True, slots=True)
class Shoot:
    """What is photographed and how."""

    scene: str = "square"
    """One of `SCENES`."""
    views: int = 28
    width: int = 640
    height: int = 480
    focal_factor: float = 0.7
    """Focal length as a multiple of the longer side."""
    k1: float = -0.04
    fisheye: bool = False
    """Whether the lens is OPENCV_FISHEYE's, with k1 to k4, else SIMPLE_RADIAL's, or RADIAL's with k2."""
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    shift_x: float = 0.0
    """Of the principal point from the middle, px."""
    shift_y: float = 0.0
    look_alikes: bool = True
    plain: bool = False
    """Without texture: hardly a keypoint, but all of the depth."""
    rolled: float = 0.0
    """Share of photos taken with the camera rolled by 90, 180 or 270 degrees."""
    portrait: float = 0.0
    """Share of photos whose width and height are exchanged."""
    shuffle: bool = False
    """Number the photos in random order instead of along the path."""
    shake: float = 0.0
    """Root mean square of what motion during the exposure shifts rows by, px."""
    seed: int = 0


def plan(shoot: Shoot) -> list[Photo]:
    """The photos of a shoot, not yet rendered."""
    views = _views(shoot)
    chance = random.Random(shoot.seed)
    if shoot.shuffle:
        chance.shuffle(views)
    digits = max(2, len(str(len(views) - 1)))
    photos = []
    for i, (scene, component, pose) in enumerate(views):
        turn = chance.choice([90, 180, 270]) if chance.random() < shoot.rolled else 0
        scene = whitewashed(scene) if shoot.plain else scene
        camera = _camera(shoot, portrait=chance.random() < shoot.portrait)
        if shoot.shake:
            camera = replace(camera, shake_px=shoot.shake, shake_seed=1000 * shoot.seed + i)
        photos.append(Photo(f"photo_{i:0{digits}d}.jpg", camera, rolled(pose, turn), scene, component))
    return photos


def main() -> None:
    """Parse the command line and render."""
    defaults = Shoot()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for images/ and gt.json; it must not hold images yet")
    parser.add_argument("--scene", choices=SCENES, default=defaults.scene)
    for name in ("views", "width", "height", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    lens = ("focal_factor", "k1", "k2", "k3", "k4", "shift_x", "shift_y")
    for name in (*lens, "rolled", "portrait", "shake"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    parser.add_argument("--no-look-alikes", dest="look_alikes", action="store_false")
    parser.add_argument("--fisheye", action="store_true", help="OPENCV_FISHEYE with k1 to k4")
    parser.add_argument("--plain", action="store_true", help="without texture")
    parser.add_argument("--shuffle", action="store_true", help="number the photos in random order")
    parser.add_argument("--depth", action="store_true", help="also write depth/NAME.npy, metres")
    parser.add_argument("--focal", action="store_true", help="write the focal length into the photos' EXIF")
    parser.add_argument("--quality", type=int, default=88, help="JPEG quality")
    parser.add_argument("--first", type=int, metavar="N", help="render the first N of --views photos alone")
    options = vars(parser.parse_args())
    out, depth, quality = options.pop("out"), options.pop("depth"), options.pop("quality")
    focal, first = options.pop("focal"), options.pop("first")
    if (out / "images").exists() and any((out / "images").iterdir()):
        parser.error(f"{out / 'images'} already holds files; give an empty folder")
    shoot = replace(defaults, **options)
    if shoot.scene == "chain" and (shoot.rolled or shoot.portrait):
        parser.error("--scene chain: photos are neither rolled nor portrait, so that their overlap is known")
    photos = plan(shoot)[:first]
    write_dataset(photos, out, seed=shoot.seed, quality=quality, with_depth=depth, with_focal=focal)


def _views(shoot: Shoot) -> list[tuple[Scene, str, Pose]]:
    if shoot.scene == "street":
        place = street(shoot.seed)
        return [(place, "street", pose) for pose in walk(shoot.views, place.half_size_m, seed=shoot.seed)]
    if shoot.scene == "two-squares":
        first = (shoot.views + 1) // 2
        here = _square_views(replace(shoot, views=first), "first", shoot.seed)
        return here + _square_views(replace(shoot, views=shoot.views - first), "second", shoot.seed + 1)
    if shoot.scene == "chain":
        return _chain_views(shoot)
    if shoot.scene == "spin":
        place = square(shoot.seed, look_alikes=shoot.look_alikes)
        return [(place, "square", pose) for pose in pan(shoot.views, SPIN_SPOT, seed=shoot.seed)]
    if shoot.scene == "flight":
        place = farmland(shoot.seed)
        poses = flight(shoot.views, place.half_size_m, FLIGHT_HEIGHT_M, seed=shoot.seed)
        return [(place, "flight", pose) for pose in poses]
    if shoot.scene in _STEPS:
        return _panned_views(shoot)
    if shoot.scene == "bridge":
        return [(place, "bridge", pose) for place, pose in bridge_views(shoot.views, shoot.seed)]
    if shoot.scene in _LOOK_ALIKES:
        views = district_views(shoot.views, shoot.seed, look_alikes=_LOOK_ALIKES[shoot.scene])
        return [(place, shoot.scene, pose) for place, pose in views]
    return _square_views(shoot, "square", shoot.seed)


def _panned_views(shoot: Shoot) -> list[tuple[Scene, str, Pose]]:
    """Photos of the first stops of a way, most of them with hardly any parallax between them."""
    way = replace(shoot, scene=shoot.scene.removeprefix("pan-"), views=_STEPS[shoot.scene])
    stops = _views(way)[: -(-shoot.views // _TURNS)]
    place, component, _ = stops[0]
    poses = panned([pose for _, _, pose in stops], _TURNS, seed=shoot.seed)[: shoot.views]
    return [(place, component, pose) for pose in poses]


def _chain_views(shoot: Shoot) -> list[tuple[Scene, str, Pose]]:
    """Photos of a front side by side: each shares its margins with its neighbours, nothing with others."""
    shown = 2 * CHAIN_DISTANCE_M * float(_camera(shoot, portrait=False).rays()[0].max())
    step = CHAIN_STEP * shown
    place = promenade(shoot.seed, length_m=step * (shoot.views - 1) + 1.5 * shown)
    poses = stroll(shoot.views, step, CHAIN_DISTANCE_M, seed=shoot.seed)
    return [(place, "promenade", pose) for pose in poses]


def _square_views(shoot: Shoot, component: str, seed: int) -> list[tuple[Scene, str, Pose]]:
    """Most photos look across the square, the others at the houses near by."""
    place = square(seed, look_alikes=shoot.look_alikes)
    near = shoot.views // 8
    poses = ring(shoot.views - near, place.half_size_m, seed=seed) + overview(
        near, place.half_size_m, seed=seed
    )
    return [(place, component, pose) for pose in poses]


def _camera(shoot: Shoot, *, portrait: bool) -> Lens:
    size = (shoot.height, shoot.width) if portrait else (shoot.width, shoot.height)
    focal_px = shoot.focal_factor * max(size)
    if shoot.fisheye:
        lens = fisheye_lens(*size, focal_px, shoot.k1, shoot.k2, shoot.k3, shoot.k4)
    else:
        lens = radial_lens(*size, focal_px=focal_px, k1=shoot.k1, k2=shoot.k2)
    return lens.shifted(shoot.shift_x, shoot.shift_y)


if __name__ == "__main__":
    main()
