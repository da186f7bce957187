"""Rendered scenes through known lenses, with the focal length in EXIF right, 10 % too long, or missing."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from harness.paths import ROOT

from photo_sets.sets import PhotoSet

sys.path.append(str(ROOT / "tools"))  # the renderer is a tool of its own

import render_scene
from synthetic import Lens, Photo, write_dataset
from synthetic.dataset import focal_exif
from synthetic.kinds import plan_kind

WIDTH, HEIGHT = 640, 480
_X, _Y = WIDTH / 2, HEIGHT / 2
LENSES: dict[str, tuple[str, tuple[float, ...]]] = {
    "plain": ("SIMPLE_RADIAL", (480, _X, _Y, -0.03)),
    "off-centre": ("SIMPLE_PINHOLE", (480, _X + 8, _Y - 6)),
    "radial": ("RADIAL", (480, _X, _Y, -0.18, 0.06)),
    "decentred": ("OPENCV", (470, 470.6, _X + 5, _Y - 4, -0.12, 0.04, 8e-4, -6e-4)),
    "prism": (
        "THIN_PRISM_FISHEYE",
        (430, 430, _X + 4, _Y - 3, 0.21, 0.21, -5e-6, 5e-4, -0.158, 0.403, -8.5e-5, -9e-4),
    ),
    "fpv": ("OPENCV_FISHEYE", (297.8, 297.8, _X + 2.6, _Y + 3, 0.0302, -0.0157, 0.021, -0.0094)),
    "action": ("OPENCV_FISHEYE", (285.9, 285.9, _X + 3.6, _Y + 0.1, 0.0329, 0.0557, -0.0384, 0.0069)),
    "fisheye-180": ("OPENCV_FISHEYE", (205, 205, _X - 3, _Y + 2, 0.02, -0.006, 0.001, 0)),
}
"""Camera model and parameters, as COLMAP orders them.

`prism` is about what ETH3D's cameras have. `fpv` (DJI Air Unit) and `action` (GoPro Hero 10, wide) are as
users of Gyroflow have calibrated them (github.com/gyroflow/lens_profiles).
"""
SCENES = ("street", "square", "object", "flight")
EXIF = {"right": 1.0, "long": 1.1, "none": None}
"""Factor on the focal length that photos say they have."""
_FEW = 12
"""Photos up to which a street and a flight are the first ones of a longer way, so that they overlap."""
_WAY = 25


def rendered(lens: str, scene: str, count: int, seed: int, cache: Path) -> dict[str, PhotoSet]:
    """The photos of a scene through a lens, made once; for each of `EXIF` a folder with the truth."""
    name = f"{lens}-{scene}-{count}-{seed}"
    sets = {
        exif: PhotoSet(f"{name}-{exif}", folder / "images", folder / "gt.json")
        for exif, folder in ((exif, cache / f"{name}-{exif}") for exif in EXIF)
    }
    made = sets["none"].photos.parent
    if not (made / "gt.json").is_file():  # it is written last
        shutil.rmtree(made, ignore_errors=True)
        write_dataset(planned(lens, scene, count, seed), made, seed=seed)
    camera = camera_of(lens)
    for exif, factor in EXIF.items():
        folder = sets[exif].photos.parent
        if factor is not None and not (folder / "gt.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "images").mkdir(parents=True)
            said = focal_exif(camera, factor * camera.focal_px).tobytes()
            for photo in (made / "images").iterdir():
                (folder / "images" / photo.name).write_bytes(_with_exif(photo.read_bytes(), said))
            shutil.copyfile(made / "gt.json", folder / "gt.json")
    return sets


def _with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """The file with a segment of EXIF, its picture as it was: saving it again would change pixels."""
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def planned(lens: str, scene: str, count: int, seed: int) -> list[Photo]:
    """The photos, not yet rendered."""
    if scene == "object":
        photos = plan_kind("clutter", seed, shuffled=True, views=count, width=WIDTH)
    elif count <= _FEW and scene in ("street", "flight"):
        photos = render_scene.plan(render_scene.Shoot(scene=scene, views=_WAY, seed=seed))[:count]
    else:
        photos = render_scene.plan(render_scene.Shoot(scene=scene, views=count, seed=seed, shuffle=True))
    return [replace(photo, camera=camera_of(lens)) for photo in photos]


def camera_of(lens: str) -> Lens:
    """The camera that takes all photos through a lens."""
    model, params = LENSES[lens]
    return Lens(WIDTH, HEIGHT, model, tuple(map(float, params)))
