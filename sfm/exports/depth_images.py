"""Depth maps that overlay exported photos, as 16-bit PNG files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from sfm.exports.depth_of_model import depth_of_model
from sfm.exports.source import DepthOptions, Source
from sfm.exports.view_files import depth_png, png_unit

log = logging.getLogger(__name__)


def write_depth_images(source: Source, model: pycolmap.Reconstruction, files: Mapping[int, Path]) -> float:
    """Write depth for every pixel of exported photos, 0 where unknown or less confident than wanted.

    Args:
        model: the exported one, with the same image ids; its photos may be undistorted.
        files: where to write, by image id. Readers want a file for each photo, so one without depth is empty.

    Returns:
        Depth that one step of the files stands for, in the unit of the model.

    Raises:
        WeightsError, MissingDependencyError, InputError, ReconstructionError: see `depth_of_model`.
    """
    options = source.depth or DepthOptions()
    folder = next(iter(files.values())).parent
    with depth_of_model(source, folder) as depths:
        unit = png_unit(depths.views.values())
        with source.progress.task("files", len(files), unit="photos") as task:
            for image_id, path in sorted(files.items()):
                camera = model.camera(model.image(image_id).camera_id)
                name = source.model.image(image_id).name
                steps = np.zeros((camera.height, camera.width), np.uint16)
                if name in depths.views:
                    view = depths.full_view(name, None if model is source.model else camera)
                    usable = view.usable(options.min_confidence)
                    steps, _ = depth_png(view, usable, unit)
                Image.fromarray(steps).save(path)
                task.advance()
    for name, why in depths.left_out.items():
        log.warning("%s: no depth: %s", name, why)
    return unit
