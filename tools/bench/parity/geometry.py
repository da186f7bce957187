"""Canonical view, anchors and focal length. (The optimiser's own fixtures belong to another part.)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sfm.mast3r.network.canonical import canonical_view, estimate_focal

from .case import Case, compare

_IMAGE = 1
"""The fixture's canonical view is of this image."""


def cases(folder: Path) -> Iterator[Case]:
    """What `geometry/canon_focal.npz` holds; the pointmaps of the view come from `sparse_ga_inputs.npz`."""
    stored = folder / "geometry" / "canon_focal.npz"
    if not stored.is_file():
        return
    with np.load(stored, allow_pickle=False) as file:
        expected = dict(file)
    yield from _focals(expected)
    inputs = folder / "geometry" / "sparse_ga_inputs.npz"
    if inputs.is_file():
        with np.load(inputs, allow_pickle=False) as file:
            yield from _canonical(expected, dict(file))


def _focals(expected: Mapping[str, Any]) -> Iterator[Case]:
    for key, value in expected.items():
        if not key.startswith("focal_") or key.endswith("_pts"):
            continue
        name, mode, low, high = key.rsplit("_", 3)
        focal = estimate_focal(
            expected[f"{name}_pts"],
            mode="weiszfeld" if mode == "weiszfeld" else "median",
            min_ratio=float(low.removeprefix("min")),
            max_ratio=float(high.removeprefix("max")),
        )
        yield compare(f"geometry {key}", [focal], value, atol=1e-3, rtol=1e-5)


def _canonical(expected: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[Case]:
    own = sorted(key for key in inputs if key.startswith(f"fw_{_IMAGE}_") and key.endswith("_Xii"))
    pointmaps = np.stack([inputs[key] for key in own])
    confidences = np.stack([inputs[key.removesuffix("Xii") + "Cii"] for key in own])
    strides = [int(key.rsplit("_s", 1)[1]) for key in expected if key.startswith("canon_core_depth_s")]
    for stride in strides:
        by_angle = canonical_view(pointmaps, confidences, stride=stride, mode="avg-angle")
        by_ratio = canonical_view(pointmaps, confidences, stride=stride, mode="avg-reldepth")
        for mode, view in (("avg-angle", by_angle), ("avg-reldepth", by_ratio)):
            ours = {"pts": view.points, "canon2": view.relative_depth, "conf": view.confidence}
            for key, value in ours.items():
                if (name := f"canon_{mode}_{key}") in expected:
                    yield compare(f"geometry {name}", value, expected[name], atol=2e-6, rtol=2e-6)
        core = expected[f"canon_core_depth_s{stride}"]
        yield compare(
            f"geometry canon_core_depth_s{stride}", by_angle.anchor_depth, core, atol=2e-6, rtol=2e-6
        )
        index, offset = by_angle.anchors(expected["anchor_pixels"])
        yield compare("geometry anchor_idx", index, expected["anchor_idx"], atol=0)
        yield compare("geometry anchor_offsets", offset, expected["anchor_offsets"], atol=2e-6)
