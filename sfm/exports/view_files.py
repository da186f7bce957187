"""The files of one photo's depth and confidence, and what a program needs to use them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfm.exports.depth_set import ViewRecord
from sfm.exports.view_maps import Mask, ViewMap

MILLI = 0.001
"""Unit of the PNG files, in the unit of depth, wherever it serves; nerfstudio's default."""

_LARGEST = 65535
_COARSEST = 1000 * MILLI
"""Typical depth from which steps of `MILLI` are fine enough: a twentieth of a per cent after rounding."""


def png_unit(records: Iterable[ViewRecord]) -> float:
    """The depth that one step of the PNG files stands for, the same for all photos.

    `MILLI` where that holds all but outliers and is fine enough for what is typical; otherwise the finest of
    1, 2, 5, 10, … that holds them.
    """
    known = [record for record in records if math.isfinite(record.far)]
    far = max((record.far for record in known), default=1.0)
    typical = min((record.typical for record in known), default=1.0)
    if far <= MILLI * _LARGEST and typical >= _COARSEST:
        return MILLI
    tens = 10.0 ** math.floor(math.log10(far / _LARGEST))
    return next(step * tens for step in (1, 2, 5, 10) if far <= step * tens * _LARGEST)


def depth_png(view: ViewMap, usable: Mask, unit: float) -> tuple[NDArray[np.uint16], int]:
    """16-bit depth (H, W) in steps of `unit`, 0 where unknown, and how many pixels were too far for it."""
    steps = np.rint(view.depth / unit)
    too_far = usable & (steps > _LARGEST)
    kept = usable & ~too_far
    # What is nearer than half a step is not unknown.
    return np.where(kept, np.clip(steps, 1, _LARGEST), 0).astype(np.uint16), int(np.count_nonzero(too_far))


def confidence_png(view: ViewMap) -> NDArray[np.uint8]:
    """For the eye, (H, W): 255 (1 - 1 / confidence), so 1 is black, 2 is half, and nothing saturates."""
    return np.rint(255 * (1 - 1 / np.maximum(view.confidence, 1.0))).astype(np.uint8)


def write_view(view: ViewMap, record: ViewRecord, stem: str, folder: Path, usable: Mask, unit: float) -> int:
    """Write `depth/STEM.{npy,png,json}` and `confidence/STEM.{npy,png}`; returns pixels too far for the
    PNG."""
    depth, confidence = folder / "depth", folder / "confidence"
    np.save(depth / f"{stem}.npy", view.depth)
    np.save(confidence / f"{stem}.npy", view.confidence)
    steps, num_too_far = depth_png(view, usable, unit)
    Image.fromarray(steps).save(depth / f"{stem}.png")
    Image.fromarray(confidence_png(view)).save(confidence / f"{stem}.png")
    description = describe_view(view, record) | {"png_unit": unit, "num_too_far_for_png": num_too_far}
    (depth / f"{stem}.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return num_too_far


def describe_view(view: ViewMap, record: ViewRecord) -> dict[str, object]:
    """Where the pixels lie and how depth becomes points, as JSON values."""
    camera, grid = view.camera, view.grid
    (sx, sy), (ox, oy) = grid.scale, grid.offset
    return {
        "photo": record.name,
        "width": grid.size[0],
        "height": grid.size[1],
        "intrinsics": {
            "fl_x": camera.focal_length_x / sx,
            "fl_y": camera.focal_length_y / sy,
            "cx": (camera.principal_point_x - ox) / sx,
            "cy": (camera.principal_point_y - oy) / sy,
        },
        "photo_from_pixel": {"scale": [sx, sy], "offset": [ox, oy]},
        "photo_camera": {
            "model": camera.model_name,
            "width": camera.width,
            "height": camera.height,
            "params": camera.params.tolist(),
        },
        "cam_from_world": view.image.cam_from_world().matrix().tolist(),
        "partners": list(record.partners),
        "fit": asdict(record.fit),
    }
