"""Focal lengths of pointmaps, canonical views and their anchors."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sfm.global_alignment.sparse.canonical import CanonicalSums, CanonicalView
from sfm.mast3r.network.pointmap_focal import estimate_focal

from .case import Case, compare, count

_UNBOUNDED = "_weiszfeld_min0.0_maxinf"


def cases(folder: Path) -> Iterator[Case]:
    """What `geometry/canon_focal.npz` holds of them."""
    stored, inputs = folder / "geometry" / "canon_focal.npz", folder / "geometry" / "sparse_ga_inputs.npz"
    if not stored.is_file():
        return
    with np.load(stored, allow_pickle=False) as file:
        expected = dict(file)
    for key, value in expected.items():
        if key.endswith(_UNBOUNDED):
            points = expected[f"{key.removesuffix(_UNBOUNDED)}_pts"]
            for robust in (True, False):
                focal = estimate_focal(points, robust=robust)
                yield compare(f"{key} robust={robust}", [focal], value, atol=1e-3, rtol=1e-5)
    if inputs.is_file():
        with np.load(inputs, allow_pickle=False) as file:
            yield from _canonical(canonical_view(dict(file), 1), expected)


def canonical_view(inputs: dict[str, np.ndarray], image: int) -> CanonicalView:
    """The canonical view of one of the four images of `sparse_ga_inputs.npz`."""
    keys = [key for key in sorted(inputs) if key.startswith(f"fw_{image}_") and key.endswith("Xii")]
    sums = CanonicalSums(inputs[keys[0]].shape[:2])
    for key in keys:
        sums.add(inputs[key], inputs[key.replace("Xii", "Cii")])
    return sums.view()


def _canonical(view: CanonicalView, expected: dict[str, np.ndarray]) -> Iterator[Case]:
    name = "canon_avg-angle"
    yield compare(f"{name}_pts", view.points, expected[f"{name}_pts"], atol=1e-5)
    yield compare(f"{name}_canon2", view.relative_depth, expected[f"{name}_canon2"], atol=1e-5)
    yield compare(f"{name}_conf", view.confidence, expected[f"{name}_conf"], atol=1e-5)
    yield compare("core depth", view.core_depth, expected["canon_core_depth_s8"], atol=1e-5)
    blocks, relative = view.anchors(expected["anchor_pixels"])
    yield count("anchors", int(np.count_nonzero(blocks != expected["anchor_idx"])))
    yield compare("anchor offsets", relative, expected["anchor_offsets"], atol=1e-5)
