"""A photo as the network sees it: resized, cropped about its centre to whole patches, and where those lay.

As in the image loading of the DUSt3R and MASt3R demos (Wang et al., CVPR 2024; Leroy et al., ECCV 2024), on
which the published weights are evaluated: the longer side becomes `size` px, Lanczos when shrinking and
bicubic otherwise, and the crop is a multiple of 16 px both ways. Size 224 is theirs too: the shorter side
becomes 224 px and a square is cropped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfm.errors import InputError

from ..values import PixelMap
from .predictor import NetworkPhoto

PATCH = 16
"""Side of the network's patches, px."""
MAX_ASPECT = 8.0
"""Longer by shorter side of the longest photos that are accepted; the weights were trained on up to 3.2."""
_SQUARE_SIZE = 224


class PhotoShapeError(InputError):
    """A photo that is sound, but too small or too long for the network."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Size after resizing and the box that is cropped from it, px, x before y."""

    resized: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]


def network_photo(
    image: Image.Image | NDArray[np.uint8], name: str, *, size: int = 512, square_ok: bool = False
) -> tuple[NetworkPhoto, PixelMap]:
    """Resize and crop a photo for the network.

    Args:
        image: upright pixels, an RGB image or (H, W, 3) uint8.
        name: name of the photo, for the result and for errors.
        size: longer side after resizing, px, floored to a multiple of 16; 224 means a square of 224 px.
        square_ok: leave square photos square; otherwise they are cropped to 4:3, the squarest shape that the
            weights were trained on.

    Returns:
        The network's pixels, and the map between them and those of `image`.

    Raises:
        PhotoShapeError: the photo has a side below 16 px, before or after resizing, or is more than
            `MAX_ASPECT` times as long as wide.
        ValueError: `image` is neither RGB nor (H, W, 3) uint8.
    """
    picture = _as_rgb(image, name)
    layout = _layout(picture.size, name, size, square_ok)
    shrinks = max(picture.size) > max(layout.resized)
    small = picture.resize(
        layout.resized, Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC
    ).crop((*layout.corner, layout.corner[0] + layout.size[0], layout.corner[1] + layout.size[1]))
    return NetworkPhoto(name, np.asarray(small)), _pixel_map(picture.size, layout)


def pixel_map(
    photo_size: tuple[int, int], name: str, *, size: int = 512, square_ok: bool = False
) -> PixelMap:
    """The map that `network_photo` gives for a photo of this size, without its pixels.

    Args:
        photo_size: width and height of the upright photo, px.
        name: name of the photo, for errors.
        size: as in `network_photo`.
        square_ok: as in `network_photo`.

    Raises:
        PhotoShapeError: as in `network_photo`.
    """
    return _pixel_map(photo_size, _layout(photo_size, name, size, square_ok))


def _as_rgb(image: Image.Image | NDArray[np.uint8], name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ValueError(f"{name}: the network takes RGB pixels, not mode {image.mode}")
        return image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{name}: the network takes (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return Image.fromarray(image)


def _layout(photo_size: tuple[int, int], name: str, size: int, square_ok: bool) -> _Layout:
    _check_shape(photo_size, name)
    width, height = photo_size
    long, short = max(photo_size), min(photo_size)
    longer = round(_SQUARE_SIZE * long / short) if size == _SQUARE_SIZE else size
    resized = round(width * longer / long), round(height * longer / long)
    # both counted from the rounded-down middle: an odd number of pixels loses its last one
    middle = resized[0] // 2, resized[1] // 2
    if size == _SQUARE_SIZE:
        crop = (2 * min(middle), 2 * min(middle))
    else:
        crop = _floored(2 * middle[0]), _floored(2 * middle[1])
        if resized[0] == resized[1] and not square_ok:
            crop = crop[0], _floored(3 * crop[0] // 4)
    if min(crop) < PATCH:
        raise PhotoShapeError(
            f"{name}: {width} x {height} px leaves less than one patch of {PATCH} px a side "
            f"when its longer side is resized to {size} px",
            hint="raise the network's image size",
        )
    return _Layout(resized, (middle[0] - crop[0] // 2, middle[1] - crop[1] // 2), crop)


def _check_shape(photo_size: tuple[int, int], name: str) -> None:
    width, height = photo_size
    long, short = max(photo_size), min(photo_size)
    if short < PATCH:
        raise PhotoShapeError(
            f"{name}: {width} x {height} px is smaller than one patch of the network ({PATCH} px)",
            hint="use the photo in its original size, or leave it out",
        )
    if long > MAX_ASPECT * short:
        raise PhotoShapeError(
            f"{name}: {width} x {height} px is {long / short:.1f} times as long as wide; "
            f"the network sees nothing useful beyond {MAX_ASPECT:g} times",
            hint="cut the panorama into overlapping photos, or leave it out",
        )


def _floored(side: int) -> int:
    return side // PATCH * PATCH


def _pixel_map(photo_size: tuple[int, int], layout: _Layout) -> PixelMap:
    return PixelMap(
        scale=(photo_size[0] / layout.resized[0], photo_size[1] / layout.resized[1]),
        crop=layout.corner,
        size=(layout.size[1], layout.size[0]),
    )
