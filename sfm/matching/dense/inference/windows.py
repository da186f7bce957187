"""Windows of photos that are larger than the network's images, and which pairs of them are worth matching.

As in MASt3R §3.4, windows overlap by half. Pairs of windows are added, the one that covers most first, until
they cover 90 % of the correspondences that the reduced photos gave. Very large photos would need more pairs
of windows than are paid for. They are reduced first, to the largest size at which the pairs suffice. The same
precision nearly everywhere is worth more than the full one here and there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sfm.config.schema import Mast3rConfig
from sfm.mast3r.network.image_input import PATCH
from sfm.mast3r.values import PixelMap, TurnedMap, WindowMap

from .photo_map import PhotoMap

COVERAGE = 0.9
"""Share of the coarse correspondences that the chosen pairs of windows cover."""
_MIN_GAIN = 1.2
"""Photos that windows would show less than so many times larger than the network's image are left alone."""
_SQUARE_SIZE = 224


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one photo, all of one size and scale; together they show the whole photo."""

    photo: PhotoMap
    """Of the whole photo in the network's image."""
    resized: tuple[int, int]
    """Width and height of the upright photo that windows are cut from, px."""
    maps: tuple[WindowMap, ...]
    """Where each window's pixels lie in the upright photo; empty when the photo is not cut."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of a window, px."""
        return self.photo_map(0).size

    @property
    def photo_px(self) -> float:
        """Photo pixels per pixel of a window."""
        return self.photo_map(0).photo_px

    def __len__(self) -> int:
        return max(1, len(self.maps))

    def photo_map(self, index: int) -> PhotoMap:
        """From the window's pixels to the stored photo; a photo that is not cut has itself as window."""
        return replace(self.photo, upright=self.maps[index]) if self.maps else self.photo

    def inside(self, xy: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(M, number of windows): which windows show which photo positions (M, 2)."""
        if not self.maps:
            return np.ones((len(xy), 1), bool)
        here = np.stack([self.photo_map(i).to_network(xy) for i in range(len(self.maps))], axis=1)
        return np.asarray(((here >= -0.5) & (here < np.array(self.size[::-1]) - 0.5)).all(axis=2))


def lay_windows(photo: PhotoMap, image_size: int, max_pairs: int) -> Windows:
    """Windows of a photo.

    Windows are whole patches. They have the network's image size along the photo's longer side, 3/4 of it
    along the shorter one (squares at size 224). They overlap by at least half. They are cut at full size, or
    from a photo reduced to the area of `max_pairs` windows. A photo is left whole where windows would not
    show it `_MIN_GAIN` times larger than the network's image.

    Args:
        image_size: longer side of the network's images, px.
        max_pairs: pairs of windows that are paid for, for a pair of photos.
    """
    width, height = upright_size(photo)
    long = _whole_patches(image_size)
    short = long if image_size == _SQUARE_SIZE else _whole_patches(image_size * 3 / 4)
    sides = (long, short) if width >= height else (short, long)
    scale = max(1.0, float(np.sqrt(width * height / (long * short * max_pairs))))
    if photo.photo_px < _MIN_GAIN * scale:
        return Windows(photo, (width, height), ())
    resized = round(width / scale), round(height / scale)
    size = min(sides[0], _whole_patches(resized[0])), min(sides[1], _whole_patches(resized[1]))
    maps = tuple(
        PixelMap((width / resized[0], height / resized[1]), (x, y), (size[1], size[0]))
        for y in _starts(resized[1], size[1])
        for x in _starts(resized[0], size[0])
    )
    return Windows(photo, resized, maps)


def turned(windows: Windows, camera: pycolmap.Camera) -> Windows:
    """The same windows, each as the photo's camera sees its middle when it is turned to look there.

    The network takes optical axes to be in the middle of its images. The lens's distortion stays as it is.
    Windows of cameras without a plane of their image, fisheyes and panoramas, are left as they are.
    """
    if not windows.maps or "FISHEYE" in camera.model_name or not camera.focal_length_idxs():
        return windows
    photo, (height, width) = windows.photo, windows.size
    whole, (resized_x, resized_y) = upright_size(photo), windows.resized
    scale = np.array([whole[0] / resized_x, whole[1] / resized_y])
    focal = np.array([camera.focal_length_x, camera.focal_length_y])
    centre = photo.to_upright(np.array([[camera.principal_point_x, camera.principal_point_y]]))[0]
    upright = _calibration(focal if photo.orientation < 5 else focal[::-1], centre)
    seen = _calibration(upright.diagonal()[:2] / scale, np.array([width / 2, height / 2]))
    maps = []
    for window in windows.maps:
        middle = window.to_photo(np.array([[width - 1, height - 1]]) / 2)[0]
        axis = np.linalg.solve(upright, [*middle.tolist(), 1.0])
        turn, _ = Rotation.align_vectors(axis[None], [[0, 0, 1]])
        homography = upright @ turn.as_matrix() @ np.linalg.inv(seen)
        maps.append(TurnedMap(tuple(homography.ravel().tolist()), window.size, window.photo_px))
    return replace(windows, maps=tuple(maps))


def _calibration(focal: NDArray[np.float64], centre: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]], np.float64)


def choose_pairs(
    inside_a: NDArray[np.bool_], inside_b: NDArray[np.bool_], max_pairs: int
) -> list[tuple[int, int]]:
    """Pairs of windows, the one that covers most correspondences not yet covered first.

    Args:
        inside_a: (M, A), which windows of the first photo show which correspondence.
        inside_b: (M, B), of the second photo.

    Returns:
        Indices of windows; together they cover `COVERAGE` of the correspondences where `max_pairs` suffice.
        Among equals the first wins.
    """
    # Products of zeros and ones: exact in float32 up to 2 ** 24 correspondences.
    a, b = inside_a.astype(np.float32), inside_b.astype(np.float32)
    coverable = int((inside_a.any(axis=1) & inside_b.any(axis=1)).sum())
    left = np.ones(len(a), bool)
    chosen: list[tuple[int, int]] = []
    while len(chosen) < max_pairs and len(a) - left.sum() < COVERAGE * coverable:
        counts = a[left].T @ b[left]
        i, j = divmod(int(counts.argmax()), counts.shape[1])
        chosen.append((i, j))
        left &= ~(inside_a[:, i] & inside_b[:, j])
    return chosen


def matched_px(photos: Mapping[str, PhotoMap], config: Mast3rConfig) -> dict[str, float]:
    """Photo pixels per pixel of the images that matches are found in, by name: what they are precise to."""
    if not config.coarse_to_fine:
        return {name: photo.photo_px for name, photo in photos.items()}
    return {
        name: lay_windows(photo, config.image_size, config.max_windows).photo_px
        for name, photo in photos.items()
    }


def upright_size(photo: PhotoMap) -> tuple[int, int]:
    """Width and height of the upright photo, px."""
    return photo.stored_size if photo.orientation < 5 else photo.stored_size[::-1]


def _whole_patches(side: float) -> int:
    return int(side) // PATCH * PATCH


def _starts(whole: int, window: int) -> list[int]:
    """First pixels of windows, evenly spread from one end to the other, each at least half over the next."""
    count = 1 + -(-2 * (whole - window) // window)
    return [round(i * (whole - window) / max(1, count - 1)) for i in range(count)]
