"""Photographs of a scene on disk: JPEG files, `gt.json` and, on demand, depth."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from .camera import Lens, Pose
from .layouts import Scene
from .quads import random_for

NOISE = 0.8
"""Standard deviation of the sensor noise, of 255 grey levels."""

_CENTIMETRE = 3
"""Of EXIF's FocalPlaneResolutionUnit."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One view to be taken."""

    name: str
    camera: Lens
    pose: Pose
    scene: Scene
    component: str


def write_dataset(
    photos: Sequence[Photo],
    out: Path,
    *,
    seed: int = 0,
    quality: int = 88,
    supersample: int = 2,
    with_depth: bool = False,
    with_focal: bool = False,
) -> None:
    """Write `images/`, `gt.json` and, if asked, `depth/NAME.npy` (float32, metres, 0 for the sky).

    `with_focal` writes the focal length into the photos' EXIF.

    Exposure varies by a few per cent and the sensor is noisy; both follow from `seed` and the photo's name.
    """
    (out / "images").mkdir(parents=True, exist_ok=True)
    scenes = {id(photo.scene): photo.scene for photo in photos}
    renderers = {key: scene.renderer() for key, scene in scenes.items()}
    for photo in photos:
        renderer = renderers[id(photo.scene)]
        colour = renderer.colour(photo.camera, photo.pose, supersample=supersample)
        picture = _develop(colour, random_for(seed, photo.name))
        exif = focal_exif(photo.camera, photo.camera.focal_px) if with_focal else Image.Exif()
        picture.save(out / "images" / photo.name, quality=quality, exif=exif)
        if with_depth:
            (out / "depth").mkdir(exist_ok=True)
            np.save(out / "depth" / f"{photo.name}.npy", renderer.depth(photo.camera, photo.pose))
    (out / "gt.json").write_text(json.dumps(ground_truth(photos), indent=1) + "\n", encoding="utf-8")


def ground_truth(photos: Sequence[Photo]) -> dict[str, object]:
    """The content of `gt.json`; `components` only where the photos show more than one scene."""
    truth: dict[str, object] = {
        "images": {
            p.name: {"R_cw": p.pose.rotation.tolist(), "t_cw": p.pose.translation.tolist()} for p in photos
        },
        "cameras": {
            p.name: {
                "model": p.camera.model,
                "width": p.camera.width,
                "height": p.camera.height,
                "params": list(p.camera.params),
            }
            for p in photos
        },
        "unit": "m",
    }
    if len({p.component for p in photos}) > 1:
        truth["components"] = {p.name: p.component for p in photos}
    return truth


def _develop(colour: np.ndarray, rng: np.random.Generator) -> Image.Image:
    exposed = colour * rng.uniform(0.94, 1.06) + rng.normal(0, NOISE, colour.shape)
    return Image.fromarray(np.clip(exposed + 0.5, 0, 255).astype(np.uint8))


def focal_exif(camera: Lens, focal_px: float) -> Image.Exif:
    """That of a camera which says it had this focal length; its sensor has a pixel in three micrometres."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "LoopSfM", "rendered"
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.FocalLength] = IFDRational(round(focal_px * 3), 1000)
    detail[ExifTags.Base.FocalPlaneXResolution] = IFDRational(1_000_000, 300)
    detail[ExifTags.Base.FocalPlaneResolutionUnit] = _CENTIMETRE
    detail[ExifTags.Base.ExifImageWidth], detail[ExifTags.Base.ExifImageHeight] = camera.width, camera.height
    return exif
