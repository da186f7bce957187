"""Export for 3D Gaussian splatting trainers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pycolmap

from sfm.exports.models import write_model
from sfm.exports.names import flat_names
from sfm.exports.undistortion import undistort


def write_3dgs(
    model: pycolmap.Reconstruction, image_root: Path, folder: Path, threads: int | None = None
) -> Mapping[str, str]:
    """Write `images/` and `sparse/0/{cameras,images,points3D}.bin` as gaussian-splatting's loader wants them.

    That loader accepts PINHOLE cameras only, reads COLMAP's three classic files and ignores the principal
    point. It drops folders from image names, cuts them at the first dot and decodes them byte by byte. Hence:
    undistorted photos, cut to be symmetric about the principal point; flat plain names; no rigs.bin and
    frames.bin (readers of the newer format make trivial rigs when they are missing).

    Returns:
        The exported file's name by image name.

    Raises:
        InputError: a photo is missing or has changed since the run.
    """
    images, sparse = folder / "images", folder / "sparse" / "0"
    images.mkdir(parents=True)
    names = flat_names(model.image(image_id).name for image_id in model.reg_image_ids())
    write_model(undistort(model, image_root, names, images, threads), sparse, text=False)
    for newer in ("rigs.bin", "frames.bin"):
        (sparse / newer).unlink()
    return names
