"""SIFT keypoints and descriptors by OpenCV, stored as COLMAP stores its own (Lowe, IJCV 2004).

With a precise doubling of the image, and thresholds like COLMAP's, most keypoints coincide with COLMAP's. It
describes all that it detects and then drops the smallest; here only those that stay are described, each in
domains of several sizes, whose mean is its descriptor (DSP-SIFT; Dong and Soatto, CVPR 2015). Photos of fog,
water, darkness or bare walls, which have few keypoints above the threshold, get fainter ones as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import SiftConfig
from sfm.untrusted.names import path_below

Features = tuple[NDArray[np.float32], NDArray[np.uint8]]

_CONTRAST = 0.015
"""OpenCV's threshold, three times that of a difference of Gaussians of values up to 1; COLMAP's is 0.02."""
_FAINT = 0.004
"""The same where photos are short of keypoints; of fainter ones hardly any match."""
_SHORT = 0.25
"""Share of the keypoints that a photo may have, up to which fainter ones than `_CONTRAST` are taken."""
_EDGE = 10.0
"""Largest ratio of principal curvatures; COLMAP's."""
_LAYERS, _SIGMA = 3, 1.6
"""Of an octave, and of its first image, px; COLMAP's."""
_FIRST_OCTAVE = -1
"""Of the doubled image."""
_DOMAINS = (-2, 0, 2)
"""Sizes of the domains of a keypoint's descriptor, in layers from its own: 0.63, 1 and 1.59 times."""
_NORM = 512
"""Of descriptors in bytes."""
_MIN_SIDE = 4
"""Of an image, px: OpenCV fails on smaller ones, which have no keypoint."""


def describe_photos(
    names: Sequence[str],
    database: FeatureDatabase,
    images_dir: Path,
    masks_dir: Path | None,
    config: SiftConfig,
    threads: int,
) -> None:
    """Write features of photos; those that COLMAP cannot read stay without."""
    with _one_thread_each(), ThreadPoolExecutor(threads) as pool:
        described = pool.map(partial(_described, images_dir, masks_dir, config), names)
        for name, features in zip(names, described, strict=True):
            if features is not None:
                database.put_features(name, *features)


def sift_features(grey: NDArray[np.uint8], config: SiftConfig, mask: NDArray[np.bool_] | None) -> Features:
    """Keypoints (n, 4) float32 (x, y, scale, px; orientation, rad) and RootSIFT descriptors (n, 128) uint8.

    The largest `config.max_num_features` are kept; one with several orientations counts once. Photos of
    little contrast get a quarter as many, the strongest that they have.

    Args:
        grey: (H, W) uint8.
        mask: (H, W), True where keypoints may lie.
    """
    reduced = _reduced(grey, config.max_image_size)
    to_photo = np.array([grey.shape[1] / reduced.shape[1], grey.shape[0] / reduced.shape[0]])
    enough = round(_SHORT * config.max_num_features)
    found = _detected(reduced, _CONTRAST, to_photo, mask)
    if len(found) < enough:
        faint = _detected(reduced, _FAINT, to_photo, mask)
        found = sorted(faint, key=lambda keypoint: -keypoint.response)[:enough]
    if config.upright:
        for keypoint in found:
            keypoint.angle = 0.0
    chosen = _largest(_as_rows(found), config.max_num_features)
    if not len(chosen):
        return np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8)
    kept = [found[i] for i in chosen]
    rows = _as_rows(kept)
    rows[:, :2] *= to_photo
    rows[:, 2] *= np.sqrt(to_photo.prod())
    return rows.astype(np.float32), _root_sift(_pooled(reduced, kept))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Photos are described side by side, each in one thread."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _described(images_dir: Path, masks_dir: Path | None, config: SiftConfig, name: str) -> Features | None:
    grey = _read(path_below(images_dir, name))
    if grey is None:
        return None
    mask = None if masks_dir is None else _read(path_below(masks_dir, f"{name}.png"))
    return sift_features(grey, config, None if mask is None else mask > 0)


def _read(path: Path) -> NDArray[np.uint8] | None:
    """(H, W) luma (BT.601, as JPEG files hold it); None where COLMAP cannot read the whole file."""
    bitmap = pycolmap.Bitmap.read(path, as_rgb=True) if path.is_file() else None
    return (
        None if bitmap is None else np.asarray(cv2.cvtColor(bitmap.to_array(), cv2.COLOR_RGB2GRAY), np.uint8)
    )


def _reduced(grey: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    factor = longest / max(grey.shape)
    if factor >= 1:
        return grey
    size = [max(1, round(factor * side)) for side in grey.shape[::-1]]
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sift(contrast: float) -> cv2.SIFT:
    return cv2.SIFT.create(0, _LAYERS, contrast, _EDGE, _SIGMA, cv2.CV_32F, True)


def _detected(
    image: NDArray[np.uint8], contrast: float, to_photo: NDArray[np.float64], mask: NDArray[np.bool_] | None
) -> list[cv2.KeyPoint]:
    """Keypoints of a reduced image; only those that lie within the mask of the photo."""
    if min(image.shape) < _MIN_SIDE:
        return []
    found = list(_sift(contrast).detect(image, None))
    if mask is None:
        return found
    x, y = np.clip((_as_rows(found)[:, :2] * to_photo).astype(int), 0, np.array(mask.shape[::-1]) - 1).T
    return [found[i] for i in np.flatnonzero(mask[y, x])]


def _pooled(image: NDArray[np.uint8], keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float64]:
    """(n, 128): the mean of the unit descriptors of `_DOMAINS`."""
    resized = [_in_domain(keypoint, layers) for layers in _DOMAINS for keypoint in keypoints]
    _, values = _sift(_CONTRAST).compute(image, resized)
    values = values.reshape(len(_DOMAINS), len(keypoints), -1).astype(np.float64)
    return np.asarray((values / np.maximum(np.linalg.norm(values, axis=2, keepdims=True), 1e-9)).mean(axis=0))


def _in_domain(keypoint: cv2.KeyPoint, layers: int) -> cv2.KeyPoint:
    """The keypoint, larger by so many layers and seen in the image of the pyramid that is blurred as much.

    OpenCV holds the octave, from -1 on, in the first byte of `octave`, and the layer in the second.
    """
    octave, layer = (keypoint.octave + 128) % 256 - 128, keypoint.octave >> 8 & 255
    octaves, layer = divmod(layer - 1 + layers, _LAYERS)
    octave, layer = (octave + octaves, layer + 1) if octave + octaves >= _FIRST_OCTAVE else (_FIRST_OCTAVE, 0)
    (x, y), size = keypoint.pt, keypoint.size * 2 ** (layers / _LAYERS)
    return cv2.KeyPoint(x, y, size, keypoint.angle, keypoint.response, octave & 255 | layer << 8)


def _as_rows(keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.float64]:
    """(n, 4): x and y with pixel centres at 0.5, scale (OpenCV has twice that), orientation in rad."""
    rows = np.array([(*one.pt, one.size, one.angle) for one in keypoints], np.float64).reshape(-1, 4)
    rows[:, :2] += 0.5
    rows[:, 2] /= 2
    rows[:, 3] = np.deg2rad(rows[:, 3])
    return rows


def _largest(rows: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Indices of the largest keypoints, largest first; same place and scale count once, same rows are one."""
    order = np.lexsort((rows[:, 3], rows[:, 1], rows[:, 0], -rows[:, 2]))
    ordered = rows[order]
    changes = np.diff(ordered, axis=0, prepend=np.nan) != 0
    number = np.cumsum(changes[:, :3].any(axis=1))
    return np.asarray(order[changes.any(axis=1) & (number <= count)])


def _root_sift(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Roots of the values' shares (Arandjelović and Zisserman, CVPR 2012), in bytes as COLMAP stores them."""
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.minimum(np.rint(_NORM * np.sqrt(shares)), 255), np.uint8)
