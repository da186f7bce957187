"""Correspondences of pairs, from both directions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sfm.mast3r.network.correspondences import (
    Correspondences,
    DescriptorMap,
    match_direction,
    merge_directions,
)

from .case import Case, compare, count


def cases(folder: Path, *, device: str = "cpu") -> Iterator[Case]:
    """Every result of both directions in `corres/*.npz`: pixels as a set and in order, and confidences."""
    for path in sorted((folder / "corres").glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        maps = {
            view: DescriptorMap(
                torch.from_numpy(arrays[f"desc{view}"]).to(device),
                torch.from_numpy(arrays[f"qonf{view}"]).to(device),
            )
            for view in ("11", "21", "22", "12")
            if f"desc{view}" in arrays
        }
        for name in (
            key.removesuffix("_conf") for key in arrays if key.startswith("sym_") and key.endswith("_conf")
        ):
            found = _correspondences(name, maps)
            xy1, xy2 = arrays[f"{name}_xy1"], arrays[f"{name}_xy2"]
            yield count(f"{path.stem} {name}", _differing(found, np.column_stack((xy1, xy2))))
            yield compare(
                f"{path.stem} {name} conf", found.confidence, arrays[f"{name}_conf"], atol=0, rtol=1e-6
            )


def _correspondences(name: str, maps: dict[str, DescriptorMap]) -> Correspondences:
    """What a name like `sym_S8` asks for."""
    subsample = int(name.removeprefix("sym_S"))
    forward, backward = (
        match_direction(maps[a], maps[b], subsample=subsample) for a, b in (("11", "21"), ("12", "22"))
    )
    return merge_directions(forward, backward)


def _differing(found: Correspondences, expected: np.ndarray) -> int:
    """Correspondences in one result alone; another order counts as one."""
    ours = [tuple(row) for row in np.column_stack((found.xy_a, found.xy_b)).tolist()]
    theirs = [tuple(row) for row in expected.tolist()]
    return len(set(ours) ^ set(theirs)) or int(ours != theirs)
