"""Photos altered as users have them, with their true poses: zoomed, cut, turned, resized, marked, mixed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from random import Random

import numpy as np
import pycolmap
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

_TURN = pycolmap.Rotation3d(np.array([0.0, 0.0, np.pi / 2]))
"""Of the camera's frame where the photo is turned clockwise by a quarter."""
_LOGO = (0.72, 0.86, 0.98, 0.97)
"""Left, top, right and bottom, in widths and heights."""
_BONNET = 0.2
"""Share of the height that a static band at the bottom takes."""
_SHIFT = 4
"""Pixels by which photos of a burst differ, at most."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, upright and without metadata."""

    name: str
    """Relative path, of a JPEG file."""
    image: Image.Image
    pose: pycolmap.Rigid3d | None
    """True cam_from_world; None where nobody knows it, or it means nothing any more."""
    quality: int = 93
    """Of the JPEG file."""


Alteration = Callable[[int, Photo, Random], Sequence[Photo]]
"""From a photo's number, the photo and random numbers to the photos that take its place."""


def altered(photos: Sequence[Photo], kind: str, others: Sequence[Photo] = ()) -> list[Photo]:
    """The collection as `KINDS[kind]` makes it, the same each time; `foreign` adds `others`."""
    rng = Random(kind)
    made = [one for i, photo in enumerate(photos) for one in KINDS[kind](i, photo, rng)]
    return [*made, *others] if kind == "foreign" else made


def upright(name: str, image: Image.Image, pose: pycolmap.Rigid3d | None) -> Photo:
    """A photo with the orientation of its EXIF applied; the pose is that of its pixels as stored."""
    quarters = {6: 1, 3: 2, 8: 3}.get(image.getexif().get(0x0112, 1), 0)
    shown = ImageOps.exif_transpose(image).convert("RGB")
    return Photo(str(PurePosixPath(name).with_suffix(".jpg")), shown, _turned_pose(pose, quarters))


def _turned_pose(pose: pycolmap.Rigid3d | None, quarters: int) -> pycolmap.Rigid3d | None:
    for _ in range(quarters if pose is not None else 0):
        pose = pycolmap.Rigid3d(_TURN, np.zeros(3)) * pose
    return pose


def _turned(photo: Photo, quarters: int) -> Photo:
    image = photo.image.rotate(-90 * quarters, expand=True)
    return replace(photo, image=image, pose=_turned_pose(photo.pose, quarters))


def _resized(photo: Photo, size: tuple[int, int]) -> Photo:
    return replace(photo, image=photo.image.resize(size, Image.Resampling.LANCZOS))


def _smaller(photo: Photo, times: int) -> Photo:
    return _resized(photo, (photo.image.width // times, photo.image.height // times))


def _cut(photo: Photo, share: float, place: tuple[float, float] = (0.5, 0.5)) -> Photo:
    """A part of the photo: `share` of its sides, `place` from its upper left to its lower right corner."""
    return _part(photo, [int(side * share) for side in photo.image.size], place)


def _part(photo: Photo, sides: Sequence[int], place: tuple[float, float] = (0.5, 0.5)) -> Photo:
    x, y = (int((whole - part) * at) for whole, part, at in zip(photo.image.size, sides, place, strict=True))
    return replace(photo, image=photo.image.crop((x, y, x + sides[0], y + sides[1])))


def _shaped(photo: Photo, aspect: float) -> Photo:
    """Cut about the middle to another aspect ratio, width over height, as phones cut photos."""
    width, height = photo.image.size
    return _part(photo, [min(width, round(aspect * height)), min(height, round(width / aspect))])


def _zoomed(photo: Photo, factor: float) -> Photo:
    """Digital zoom: the middle of the photo at the photo's size."""
    return _resized(_cut(photo, 1 / factor), photo.image.size)


def _stretched(photo: Photo) -> Photo:
    """With pixels that are a third wider than high, as frames of HDV video have them."""
    return _resized(photo, (round(0.75 * photo.image.width), photo.image.height))


def _exposed(photo: Photo, gamma: float, *, grey: bool) -> Photo:
    image = photo.image.point([round(255 * (value / 255) ** gamma) for value in range(256)] * 3)
    return replace(photo, image=image.convert("L") if grey else image)


def _marked(photo: Photo) -> Photo:
    """With the same logo and line of text as all others."""
    image, rng = photo.image.copy(), Random(1)
    width, height = image.size
    left, top, right, bottom = (int(a * side) for a, side in zip(_LOGO, (width, height) * 2, strict=True))
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, right, bottom), fill=(30, 30, 30))
    for _ in range(120):
        x, y, r = rng.randint(left, right), rng.randint(top, bottom), rng.randint(1, 6)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.randint(0, 255) for _ in range(3)))
    draw.text((0.05 * width, 0.92 * height), "2024-05-12 14:33 SITE SURVEY", font_size=0.04 * height)
    return replace(photo, image=image)


def _behind_a_bonnet(photo: Photo) -> Photo:
    """With the same textured band at the bottom as all others."""
    width, height = photo.image.size
    cells = np.random.default_rng(1).integers(0, 256, (16, 80, 3), dtype=np.uint8)
    image, band = photo.image.copy(), Image.fromarray(cells).resize((width, int(_BONNET * height)))
    image.paste(band, (0, height - band.height))
    return replace(photo, image=image)


def _framed(photo: Photo) -> Photo:
    """Within a black border, at the photo's size."""
    width, height = photo.image.size
    image = Image.new("RGB", (width, height))
    inner = photo.image.resize((int(0.9 * width), int(0.8 * height)))
    image.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return replace(photo, image=image)


def _burst(photo: Photo, rng: Random) -> Iterator[Photo]:
    """Four photos that differ by noise, brightness and a few pixels."""
    width, height = (side - _SHIFT for side in photo.image.size)
    for shot in range(4):
        image = ImageEnhance.Brightness(photo.image).enhance(rng.uniform(0.9, 1.1))
        noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 4, (*image.size[::-1], 1))
        image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
        x, y = rng.randint(0, _SHIFT), rng.randint(0, _SHIFT)
        yield _renamed(replace(photo, image=image.crop((x, y, x + width, y + height))), f"_{shot}")


def _renamed(photo: Photo, end: str) -> Photo:
    path = PurePosixPath(photo.name)
    return replace(photo, name=str(path.with_name(f"{path.stem}{end}{path.suffix}")))


def _poor(photo: Photo, radius: float) -> Photo:
    return replace(photo, image=photo.image.filter(ImageFilter.GaussianBlur(radius)), quality=25)


KINDS: Mapping[str, Alteration] = {
    "plain": lambda i, p, r: [p],
    "zoom-half": lambda i, p, r: [_zoomed(p, 1.6) if i % 2 else p],
    "zoom-two": lambda i, p, r: [_zoomed(p, 2) if i in (3, 7) else p],
    "zoom-each": lambda i, p, r: [_zoomed(p, r.uniform(1, 1.8))],
    "crop": lambda i, p, r: [_cut(p, r.uniform(0.6, 0.95), (r.random(), r.random()))],
    "crop-same": lambda i, p, r: [_resized(_cut(p, 0.75, (r.random(), r.random())), p.image.size)],
    "crop-some": lambda i, p, r: [p if i % 4 else _cut(p, 0.7, (r.random(), r.random()))],
    "shape-half": lambda i, p, r: [_shaped(p, 16 / 9) if i % 2 else p],
    "shapes": lambda i, p, r: [(p, _shaped(p, 16 / 9), _shaped(p, 1))[i % 3]],
    "stretched": lambda i, p, r: [_stretched(p)],
    "resized": lambda i, p, r: [_smaller(p, 2) if i % 2 else p],
    "small": lambda i, p, r: [_smaller(p, 3)],
    "thumbnails": lambda i, p, r: [p, _renamed(_smaller(p, 3), "_small")],
    "rotated": lambda i, p, r: [_turned(p, r.randint(0, 3))],
    "portrait": lambda i, p, r: [_turned(p, i % 2)],
    "exposure": lambda i, p, r: [_exposed(p, r.uniform(0.4, 2.2), grey=i % 2 == 1)],
    "duplicates": lambda i, p, r: [p] if i % 3 else [p, _renamed(p, "_copy")],
    "burst": lambda i, p, r: list(_burst(p, r)),
    "mirrored": lambda i, p, r: [replace(p, image=ImageOps.mirror(p.image), pose=None) if i == 4 else p],
    "poor": lambda i, p, r: [_poor(p, r.uniform(0, 2))],
    "logo": lambda i, p, r: [_marked(p)],
    "bonnet": lambda i, p, r: [_behind_a_bonnet(p)],
    "border": lambda i, p, r: [_framed(p)],
    "foreign": lambda i, p, r: [p],
    "thinned": lambda i, p, r: [] if i % 2 else [p],
}
"""What is done to the photo of each number."""
