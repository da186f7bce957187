"""Which intrinsics can be those of a lens."""

from __future__ import annotations

import pycolmap


def plausible(camera: pycolmap.Camera) -> bool:
    """Whether intrinsics lie within COLMAP's own bounds while a model grows."""
    mapper = pycolmap.IncrementalMapperOptions()
    limits = mapper.min_focal_length_ratio, mapper.max_focal_length_ratio, mapper.max_extra_param
    return not camera.has_bogus_params(*limits)
