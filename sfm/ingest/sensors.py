"""Sensor widths of known cameras, from the table inside pycolmap."""

from __future__ import annotations

import functools

import pycolmap
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from sfm.files.scratch import scratch_folder

_PROBE_SIZE = 100
_PROBE_FOCAL_MM = 10


@functools.cache
def sensor_width_mm(make: str, model: str) -> float | None:
    """Width of the sensor in mm, or None for a camera that COLMAP's table lacks.

    pycolmap gives no access to its table, but reads focal lengths of photos by it. So it is given a small
    photo of known focal length.
    """
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = make, model
    exif.get_ifd(0x8769)[0x920A] = IFDRational(_PROBE_FOCAL_MM)
    with scratch_folder() as folder:
        path = folder / "probe.jpg"
        Image.new("L", (_PROBE_SIZE, _PROBE_SIZE)).save(path, exif=exif)
        probe = pycolmap.Bitmap.read(path, False)
    focal_px = probe.exif_focal_length() if probe is not None else None
    return _PROBE_FOCAL_MM * _PROBE_SIZE / focal_px if focal_px else None
