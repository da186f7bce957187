"""A photo's metadata, with everything implausible left out."""

from __future__ import annotations

import calendar
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sfm.ingest.decode import exif_tables
from sfm.ingest.sensors import sensor_width_mm
from sfm.types import Exif

Tags = Mapping[int, object]

_DIAGONAL_35MM = math.hypot(36, 24)
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
"""Millimetres in a FocalPlaneResolutionUnit."""
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Metadata:
    """EXIF in our terms, and which device with which lens setting it names."""

    exif: Exif
    device: str
    """Equal for photos of one camera at one zoom setting; empty when no camera is named."""


def read_metadata(image: Image.Image, *, size: tuple[int, int]) -> Metadata:
    """Metadata of an opened photo, not yet decoded; `size` is that of the stored pixels, px."""
    return parse_metadata(*exif_tables(image), size=size)


def parse_metadata(main: Tags, detail: Tags, gps: Tags, *, size: tuple[int, int]) -> Metadata:
    """As `read_metadata`, from the three tag tables (main, Exif, GPS) by tag number."""
    make, model = _text(main.get(0x010F)), _text(main.get(0x0110))
    latitude, longitude = _position(gps)
    exif = Exif(
        make=make,
        model=model,
        focal_px=_focal_px(detail, make, model, size),
        latitude_deg=latitude,
        longitude_deg=longitude,
        altitude_m=_altitude(gps) if latitude is not None else None,
        timestamp_s=_timestamp(detail),
    )
    if make is None and model is None:
        return Metadata(exif, "")
    lens, serial = _text(detail.get(0xA434)), _text(detail.get(0xA431))
    zoom = _number(detail.get(0x920A)), _number(detail.get(0xA405))
    return Metadata(exif, "|".join(str(part) for part in (make, model, lens, serial, *zoom)))


def _focal_px(detail: Tags, make: str | None, model: str | None, size: tuple[int, int]) -> float | None:
    """Focal length in px by 35 mm equivalent, focal plane resolution or sensor width, in COLMAP's order."""
    scale = _scale_since_capture(detail, size)
    if scale is None:
        return None
    candidates = (
        _focal_from_35mm(detail, size),
        _focal_from_plane_resolution(detail, scale),
        _focal_from_sensor(detail, make, model, size),
    )
    return next((focal for focal in candidates if focal and 0.1 <= focal / max(size) <= 100), None)


def _scale_since_capture(detail: Tags, size: tuple[int, int]) -> float | None:
    """How much smaller the photo is than by EXIF; None when it was cropped, for then no rule holds."""
    recorded = _positive(detail.get(0xA002)), _positive(detail.get(0xA003))
    if recorded[0] is None or recorded[1] is None:
        return 1.0
    long, short = max(recorded[0], recorded[1]), min(recorded[0], recorded[1])
    # Long side against long side: some programs turn the pixels and leave the recorded size.
    aspect = (max(size) / min(size)) / (long / short)
    return max(size) / long if abs(aspect - 1) <= _ASPECT_TOLERANCE else None


def _focal_from_35mm(detail: Tags, size: tuple[int, int]) -> float | None:
    equivalent = _positive(detail.get(0xA405))
    return equivalent / _DIAGONAL_35MM * math.hypot(*size) if equivalent else None


def _focal_from_plane_resolution(detail: Tags, scale: float) -> float | None:
    focal_mm, per_unit = _positive(detail.get(0x920A)), _positive(detail.get(0xA20E))
    unit = detail.get(0xA210)
    if focal_mm is None or per_unit is None or not isinstance(unit, int) or unit not in _MM_PER_UNIT:
        return None
    return focal_mm * per_unit / _MM_PER_UNIT[unit] * scale


def _focal_from_sensor(
    detail: Tags, make: str | None, model: str | None, size: tuple[int, int]
) -> float | None:
    focal_mm = _positive(detail.get(0x920A))
    if focal_mm is None or make is None or model is None:
        return None
    width_mm = sensor_width_mm(make, model)
    return focal_mm / width_mm * max(size) if width_mm else None


def _position(gps: Tags) -> tuple[float, float] | tuple[None, None]:
    latitude = _degrees(gps.get(2), gps.get(1), negative="S", limit=90)
    longitude = _degrees(gps.get(4), gps.get(3), negative="W", limit=180)
    # Receivers without a fix write exactly 0, 0.
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def _degrees(value: object, reference: object, *, negative: str, limit: float) -> float | None:
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        return None
    parts = [_number(part) for part in value]
    total = 0.0
    for part, divisor in zip(parts, (1, 60, 3600), strict=False):
        if part is None or part < 0:
            return None
        total += part / divisor
    if total > limit:
        return None
    return -total if (_text(reference) or "").upper().startswith(negative) else total


def _altitude(gps: Tags) -> float | None:
    altitude = _number(gps.get(6))
    below_sea = gps.get(5) in (1, b"\x01", "1")
    return -altitude if altitude is not None and below_sea else altitude


def _timestamp(detail: Tags) -> float | None:
    """Seconds since 1970 of the clock's reading at capture, with its fraction where recorded."""
    for tag, fraction_tag in ((0x9003, 0x9291), (0x9004, 0x9292)):
        try:
            moment = time.strptime(_text(detail.get(tag)) or "", "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        digits = _text(detail.get(fraction_tag)) or ""
        fraction = float(f"0.{digits}") if re.fullmatch(r"[0-9]+", digits) else 0.0
        return calendar.timegm(moment) + fraction
    return None


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if not isinstance(value, str):
        return None
    return value.split("\0")[0].strip() or None


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None
