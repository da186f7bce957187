"""Cameras of the models: field of view, residuals over the image, and which intrinsics were tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.mapping.cameras.parameter_sigmas import parameter_sigmas
from sfm.mapping.cameras.rolling_shutter import readout
from sfm.mapping.cameras.stretched_images import aspect_of
from sfm.mapping.measures.observations import PointTable, some_seen_by
from sfm.mapping.scene.camera_models import parameter_names

Array = NDArray[np.float64]

_NUM_CELLS = 12  # along the longer side of the image
_MIN_OBSERVATIONS = 20  # in a cell, for the median to say something
_MAX_OBSERVATIONS = 40_000
_MAX_FIELDS = 12  # in the page: cameras of a photo each are many, and tell little
_SQUARE = 0.02  # of fy / fx from 1: no lens has so much
_BLOCKS = {"principal_point": "a free principal point"}


@dataclass(frozen=True, slots=True)
class ResidualField:
    """Medians of residuals (observed minus projected) in the cells of an image, as an SVG path."""

    width: int
    height: int
    path: str
    enlarged: int
    """How many times longer the arrows are than the residuals."""
    median_px: float
    """Over the cells, of the arrows' lengths."""
    max_px: float


@dataclass(frozen=True, slots=True)
class CameraRow:
    """One camera of one model, as COLMAP names and orders its parameters."""

    model: int
    camera_id: int
    kind: str
    size: str
    num_images: int
    params: tuple[tuple[str, str], ...]
    """Names and values, with standard deviations where the observations determine them."""
    field_of_view: str
    tried: tuple[str, ...]
    """What became of the intrinsics that were tried, a sentence each."""
    residuals: ResidualField | None
    pixels: str
    """That they are not square; mostly empty."""
    readout: str
    """What the observations show of a rolling shutter; mostly empty."""


def camera_rows(
    models: Sequence[pycolmap.Reconstruction],
    tried: Sequence[Mapping[str, Any]] = (),
    *,
    frames: Sequence[str] = (),
    are_given: bool = False,
) -> tuple[CameraRow, ...]:
    """Cameras that registered photos were taken with.

    Args:
        models: in the run's order.
        tried: the `intrinsics` events of the run.
        frames: names of all photos in the order of capture.
        are_given: whether the user gave intrinsics, so that the observations determine none.
    """
    rows: list[CameraRow] = []
    for index, model in enumerate(models):
        images = [model.image(image_id) for image_id in model.reg_image_ids()]
        points = PointTable.of(model)
        for camera_id in sorted({image.camera_id for image in images}):
            camera = model.camera(camera_id)
            own = [image for image in images if image.camera_id == camera_id]
            is_shown = len(rows) < _MAX_FIELDS
            sigmas = parameter_sigmas(model, camera_id) if is_shown and not are_given else {}
            rows.append(
                CameraRow(
                    model=index,
                    camera_id=camera_id,
                    kind=camera.model_name,
                    size=f"{camera.width} x {camera.height}",
                    num_images=len(own),
                    params=_params(camera, sigmas),
                    field_of_view=field_of_view(camera),
                    tried=_in_words([e for e in tried if (e["model"], e["camera_id"]) == (index, camera_id)]),
                    residuals=residual_field(camera, own, points) if is_shown else None,
                    pixels=_pixels(camera),
                    readout=_readout(model, camera_id, frames) if is_shown else "",
                )
            )
    return tuple(rows)


def _params(camera: pycolmap.Camera, sigmas: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    values = zip(parameter_names(camera), camera.params, strict=True)
    return tuple((name, _with_sigma(float(value), sigmas.get(name))) for name, value in values)


def _with_sigma(value: float, sigma: float | None) -> str:
    """The value to the second digit of its standard deviation."""
    if sigma is None or not sigma > 0:
        return f"{value:.6g}"
    digits = max(0, 1 - math.floor(math.log10(sigma)))
    return f"{value:.{digits}f} ± {sigma:.{digits}f}"


def _pixels(camera: pycolmap.Camera) -> str:
    if abs((aspect := aspect_of(camera)) - 1) <= _SQUARE:
        return ""
    sides = "wider than high" if aspect > 1 else "higher than wide"
    times = max(aspect, 1 / aspect)
    return (
        f"Pixels are {times:.2f} times {sides}: the photos were stretched, or are frames of such video. The "
        "camera has a focal length for x and one for y. Programs that take only one need photos of the right "
        "shape."
    )


def _readout(model: pycolmap.Reconstruction, camera_id: int, frames: Sequence[str]) -> str:
    found = readout(model, camera_id, frames)
    if found is None:
        return ""
    lines = "rows" if found.first in ("top", "bottom") else "columns"
    return (
        f"Rolling shutter: the {lines} are exposed one after the other, {found.first} first, in "
        f"{found.share:.2f} ± {found.sigma:.2g} of the time from one photo to the next. That moves points "
        f"by up to {found.effect_px:.1f} px, which the model does not take into account. Slower motion, or "
        "a global shutter, would make it more exact."
    )


def field_of_view(camera: pycolmap.Camera) -> str:
    """Horizontal and vertical, through the principal point, in degrees."""
    if camera.is_spherical():
        return "360° x 180°"
    x, y = camera.principal_point_x, camera.principal_point_y
    ends = np.array([[0, y], [camera.width, y], [x, 0], [x, camera.height]])
    rays = np.asarray(camera.cam_ray_from_img(ends))
    # COLMAP's fisheyes give a wrong ray for what is seen 90 degrees off the axis, and beyond.
    right = np.linalg.norm(np.asarray(camera.img_from_cam(rays)) - ends, axis=1) < 1
    unknown = "about 180° or more" if "FISHEYE" in camera.model_name else "unknown"
    angles = np.degrees(np.arccos(np.clip(rays[:, 2], -1, 1)))
    return " x ".join(
        f"{angles[axis].sum():.0f}°" if right[axis].all() else unknown for axis in (slice(0, 2), slice(2, 4))
    )


def residual_field(
    camera: pycolmap.Camera, images: Sequence[pycolmap.Image], points: PointTable
) -> ResidualField | None:
    """What the camera leaves unexplained in each cell of its image; None where it sees too little."""
    share = -(-_MAX_OBSERVATIONS // max(len(images), 1))
    seen, off = [np.zeros((0, 2))], [np.zeros((0, 2))]
    for image in images:
        ids, xy = some_seen_by(image, share)
        projected = np.asarray(camera.img_from_cam(image.cam_from_world() * points.xyz_of(ids)))
        seen.append(xy)
        off.append(xy - projected.reshape(-1, 2))
    xy, residual = np.concatenate(seen), np.concatenate(off)
    finite = np.isfinite(residual).all(axis=1)
    starts, arrows = _medians(camera, xy[finite], residual[finite])
    return _drawn(camera, starts, arrows) if len(starts) else None


def _medians(camera: pycolmap.Camera, xy: Array, residual: Array) -> tuple[Array, Array]:
    """Middles of the cells that see enough, (N, 2), and the median residual of each, (N, 2), px."""
    side = _cell(camera)
    cell = np.floor(xy / side).astype(int)
    cells, which, counts = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(which.ravel(), kind="stable")
    groups = np.split(residual[order], np.cumsum(counts)[:-1])
    kept = np.flatnonzero(counts >= _MIN_OBSERVATIONS)
    medians = np.array([np.median(groups[i], axis=0) for i in kept]).reshape(-1, 2)
    return (cells[kept] + 0.5) * side, medians


def _drawn(camera: pycolmap.Camera, starts: Array, arrows: Array) -> ResidualField:
    lengths = np.hypot(*arrows.T)
    enlarged = max(1, int(float(f"{_cell(camera) / max(float(lengths.max()), 1e-3):.1g}")))
    ends = starts + enlarged * arrows
    # The barbs of an arrow, back from its end by a quarter of its length to both sides.
    turned = np.stack((-arrows[:, 1], arrows[:, 0]), axis=1)
    left, right = (ends - enlarged * (0.25 * arrows + sign * 0.15 * turned) for sign in (1, -1))
    path = "".join(
        "M{:.0f} {:.0f}L{:.0f} {:.0f}M{:.0f} {:.0f}L{:.0f} {:.0f}L{:.0f} {:.0f}".format(*numbers)
        for numbers in np.hstack((starts, ends, left, ends, right))
    )
    return ResidualField(
        camera.width, camera.height, path, enlarged, float(np.median(lengths)), float(lengths.max())
    )


def _cell(camera: pycolmap.Camera) -> float:
    return max(camera.width, camera.height) / _NUM_CELLS


def _in_words(events: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A sentence for each parameter block: what the last adjustment that tried it said."""
    last = {event["block"]: event for event in events}
    return tuple(_sentence(event) for event in last.values())


def _sentence(event: Mapping[str, Any]) -> str:
    name = " and ".join(_BLOCKS.get(part, part) for part in event["block"].split(" and "))
    values = ", ".join(f"{key} {value:+.3g}{_sigma(event, key)}" for key, value in event["shift"].items())
    moved = f" ({values})" if values else ""
    evidence = event.get("log_evidence")
    weighed = "" if evidence is None else f" Log evidence: {evidence:.1f}."
    if event["accepted"]:
        return f"Taken: {name}{moved}, {event['why']}.{weighed}"
    return f"Refused: {name}{moved}, {event['why']}.{weighed}"


def _sigma(event: Mapping[str, Any], name: str) -> str:
    sigma = event["sigma"].get(name)
    return "" if sigma is None else f" ± {sigma:.2g}"
