"""Nearest neighbours and reciprocal matching of descriptor maps."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kernels.nearest import nearest
from kernels.reciprocal import DescriptorPair, PixelPairs

from .case import Case, count

Arrays = Mapping[str, NDArray[np.generic]]


def cases(folder: Path, *, device: str = "cpu") -> Iterator[Case]:
    """Every result in `nn/*.npz`: exhaustive, from a grid, from pixels with a tolerance, and basins."""
    for path in sorted((folder / "nn").glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        maps = tuple(torch.from_numpy(arrays[key]).to(device) for key in ("desc1", "desc2"))
        pair = DescriptorPair(*maps)
        yield from _exhaustive(path.stem, arrays, maps[0].flatten(0, 1), maps[1].flatten(0, 1))
        if "exhaustive_reciprocal_idx1" in arrays:
            found = pair.exhaustive()
            yield count(
                f"{path.stem} exhaustive_reciprocal",
                _differing(found, *_rows(arrays, "exhaustive_reciprocal")),
            )
        for key in arrays:
            name = key.removesuffix("_xy1").removesuffix("_basin")
            if name != key and "_basin_" not in key:
                yield from _walks(f"{path.stem} {key.removesuffix('_xy1')}", arrays, key, name, pair)


def _exhaustive(stem: str, arrays: Arrays, flat1: torch.Tensor, flat2: torch.Tensor) -> Iterator[Case]:
    for key, a, b in (("exhaustive_nn1to2", flat1, flat2), ("exhaustive_nn2to1", flat2, flat1)):
        if key in arrays:
            yield count(f"{stem} {key}", int((nearest(a, b)[0].cpu().numpy() != arrays[key]).sum()))


def _walks(title: str, arrays: Arrays, key: str, name: str, pair: DescriptorPair) -> Iterator[Case]:
    """One result; `name` is `fast_S{step}` or `initxy_S{step}_tol{px}`."""
    kind, step, *tolerance = name.split("_")
    subsample = int(step[1:])
    if key.endswith("_basin"):
        found = pair.from_grid(subsample, basin=True)
        assert found.basin is not None
        # The last entry of the fixture belongs to no pixel.
        yield count(title, int((found.basin.cpu().numpy() != arrays[key][:-1]).sum()))
        yield count(f"{title} pairs", _differing(found, *_rows(arrays, key)))
        return
    if kind == "fast":
        found = pair.from_grid(subsample)
    else:
        found = pair.from_pixels(pair.grid(subsample), pixel_tol=float(tolerance[0].removeprefix("tol")))
    widths = pair.shapes[0][1], pair.shapes[1][1]
    expected = (arrays[f"{name}_xy{view}"] @ np.array([1, widths[view - 1]]) for view in (1, 2))
    yield count(title, _differing(found, *expected))


def _rows(arrays: Arrays, name: str) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    return arrays[f"{name}_idx1"], arrays[f"{name}_idx2"]


def _differing(found: PixelPairs, first: NDArray[np.generic], second: NDArray[np.generic]) -> int:
    """Pairs in one result alone; another order counts as one."""
    ours = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    theirs = list(zip(first.tolist(), second.tolist(), strict=True))
    return len(set(ours) ^ set(theirs)) or int(ours != theirs)
