"""Matches refined to a fraction of a pixel, by the descriptors around them.

Around the matched pixel of the second photo each channel of the descriptor map is a parabola through its 3 x
3 neighbours. Gauss-Newton steps move the match to the best correlation of that smooth map with the first
photo's descriptor (Lucas and Kanade 1981). For unit vectors the best correlation is the least distance. All
channels together are several times more exact than a parabola through the similarities.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 3


def refine_by_descriptors(
    desc_a: Tensor, desc_b: Tensor, xy_a: Tensor, xy_b: Tensor, *, max_step: float = 0.75
) -> Tensor:
    """Positions in b of matches whose positions in a are taken as exact.

    Args:
        desc_a: (H, W, D) descriptors of unit length of the first photo.
        desc_b: (H', W', D) of the second.
        xy_a: (M, 2) positions in a, x and y, network px from the centre of the first pixel; also between
            pixels.
        xy_b: (M, 2) positions in b; the nearest pixels are where the search starts.
        max_step: a result further than this from its pixel along x or y, px, isn't believed.

    Returns:
        (M, 2) float32. Matches at the rim of the photo, in flat neighbourhoods or with a result that isn't
        believed stay as they are.

    Raises:
        ValueError: the shapes don't fit each other.
    """
    if desc_a.ndim != 3 or desc_a.shape[-1:] != desc_b.shape[-1:] or xy_a.shape != xy_b.shape:
        raise ValueError(
            f"refine_by_descriptors: descriptors {tuple(desc_a.shape)}, {tuple(desc_b.shape)} and positions "
            f"{tuple(xy_a.shape)}, {tuple(xy_b.shape)} don't fit each other"
        )
    height, width = desc_b.shape[:2]
    refined = xy_b.to(torch.float32).clone()
    pixel = refined.round().long()
    limit = torch.tensor([width - 2, height - 2], device=pixel.device)
    rows = ((pixel >= 1) & (pixel <= limit)).all(1).nonzero()[:, 0]
    if len(rows) == 0:
        return refined
    step, closer = _aligned(_sampled(desc_a, xy_a[rows]), _neighbourhoods(desc_b, pixel[rows]))
    good = closer & (step.abs() <= max_step).all(1)
    refined[rows[good]] = (pixel[rows] + step)[good]
    return refined


def _sampled(maps: Tensor, xy: Tensor) -> Tensor:
    height, width = maps.shape[:2]
    limit = torch.tensor([width - 1, height - 1], device=maps.device, dtype=torch.float32)
    xy = xy.to(torch.float32).clamp(min=torch.zeros_like(limit), max=limit)
    corner = xy.floor()
    u, v = (xy - corner).unsqueeze(2).unbind(1)
    x, y = corner.long().unbind(1)
    right, below = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    top = maps[y, x].float() * (1 - u) + maps[y, right].float() * u
    bottom = maps[below, x].float() * (1 - u) + maps[below, right].float() * u
    return torch.nn.functional.normalize(top * (1 - v) + bottom * v, dim=1)


def _neighbourhoods(maps: Tensor, pixel: Tensor) -> Tensor:
    """(3, 3, M, D) descriptors around each pixel (M, 2), rows first."""
    x, y = pixel.unbind(1)
    return torch.stack(
        [torch.stack([maps[y + dy, x + dx].float() for dx in (-1, 0, 1)]) for dy in (-1, 0, 1)]
    )


def _aligned(wanted: Tensor, around: Tensor) -> tuple[Tensor, Tensor]:
    """Steps (M, 2) from the middle to where the parabolas come nearest to `wanted`, and whether they do."""
    centre = around[1, 1]
    gx, gy = (around[1, 2] - around[1, 0]) / 2, (around[2, 1] - around[0, 1]) / 2
    hxx, hyy = around[1, 2] + around[1, 0] - 2 * centre, around[2, 1] + around[0, 1] - 2 * centre
    hxy = (around[2, 2] + around[0, 0] - around[0, 2] - around[2, 0]) / 4
    x, y = torch.zeros_like(centre[:, :1]), torch.zeros_like(centre[:, :1])
    regular = torch.ones(len(centre), dtype=torch.bool, device=centre.device)

    def error() -> Tensor:
        return wanted - centre - gx * x - gy * y - (hxx * x * x + 2 * hxy * x * y + hyy * y * y) / 2

    start = error().square().sum(1)
    for _ in range(_STEPS):
        jx, jy, off = gx + hxx * x + hxy * y, gy + hxy * x + hyy * y, error()
        xx, xy, yy, xe, ye = (
            (a * b).sum(1, keepdim=True) for a, b in ((jx, jx), (jx, jy), (jy, jy), (jx, off), (jy, off))
        )
        determinant = xx * yy - xy * xy
        regular &= (determinant > 1e-9 * (xx + yy).square() + 1e-20)[:, 0]
        determinant = torch.where(regular[:, None], determinant, torch.ones_like(determinant))
        x, y = x + (yy * xe - xy * ye) / determinant, y + (xx * ye - xy * xe) / determinant
    return torch.cat([x, y], 1), regular & (error().square().sum(1) < start)
