"""Points of all pixels from matches with partners at known poses."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sfm.geometry.pixel_points import PixelPoints

from .case import Case, compare


def cases(folder: Path) -> Iterator[Case]:
    """What `dense/triangulate.npz` holds.

    The fixture averages the points of the pairs by confidence; ours are of all partners at once, so those of
    single partners are compared.
    """
    stored = folder / "dense" / "triangulate.npz"
    if not stored.is_file():
        return
    with np.load(stored, allow_pickle=False) as file:
        expected = dict(file)
    for number, matches in enumerate(expected["matches"].astype(np.float64)):
        poses = expected["cam_from_world"][number].astype(np.float64)
        projections = expected["K"][number].astype(np.float64) @ poses[:, :3]
        shape = matches.shape[1:3]
        sums, confidence = np.zeros((*shape, 3)), np.zeros(shape)
        for partner, rows in enumerate(matches):
            flat = rows.reshape(-1, rows.shape[-1])
            pixels = np.flatnonzero(np.isfinite(flat).all(axis=1))
            found = PixelPoints(len(flat))
            positions = flat[pixels, :2], flat[pixels, 2:4]
            found.add(pixels, (projections[0], projections[1 + partner]), positions, flat[pixels, 4])
            points = np.nan_to_num(found.points()).reshape(*shape, 3)
            sums += found.confidence.reshape(*shape, 1) * points
            confidence += found.confidence.reshape(shape)
        with np.errstate(invalid="ignore"):
            mean = sums / confidence[..., None]
        depth = mean @ poses[0, 2, :3] + poses[0, 2, 3]
        yield compare(f"triangulate {number} points", mean, expected["points"][number], atol=1e-5)
        yield compare(f"triangulate {number} depth", depth, expected["depth"][number], atol=1e-5)
        yield compare(f"triangulate {number} confidence", confidence, expected["conf"][number], atol=1e-5)
