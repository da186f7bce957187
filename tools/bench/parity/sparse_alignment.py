"""Sparse global alignment: tree, anchors, cameras, depth, dense points and their cleaning.

The reference lets the pose of the root drift, so that cameras and points are compared in the root's frame.
"""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from sfm.config.schema import AlignmentConfig
from sfm.global_alignment.sparse.dense import DenseView, cleaned_confidence
from sfm.global_alignment.sparse.optimise import Aligned, align
from sfm.global_alignment.sparse.problem import (
    AlignedPair,
    AlignmentProblem,
    Anchored,
    Predicted,
    View,
)
from sfm.global_alignment.sparse.tree import kinematic_tree
from sfm.global_alignment.sparse.variables import Cameras

from .case import Case, compare, count
from .geometry import canonical_view

_SETTINGS = ((0, 0, False), (10, 0, False), (10, 10, False), (10, 10, True), (300, 300, False))
_CONFIDENT = 5.0
_IMAGES = 4
_BORDER_PIXELS = 8
"""Of the 954 that cleaning removes: so many may lie the other way of a threshold."""


def cases(folder: Path) -> Iterator[Case]:
    """Every setting of `geometry/sparse_ga_outputs.npz`."""
    paths = [folder / "geometry" / f"sparse_ga_{name}.npz" for name in ("inputs", "outputs")]
    if not all(path.is_file() for path in paths):
        return
    inputs, expected = (dict(np.load(path, allow_pickle=False)) for path in paths)
    problem = _problem(inputs, expected)
    tree = kinematic_tree(problem.scores(), problem.sizes())
    yield count("root", int(tree.root != expected["mst_root"]))
    yield count("edges", int(not np.array_equal(tree.edges, expected["mst_edges"])))
    own = [p.in_first if p.first == 0 else p.in_second for p in problem.pairs if 0 in (p.first, p.second)]
    blocks = np.sort(np.concatenate([side.blocks for side in own]))
    yield count("anchors", int(not np.array_equal(blocks, np.sort(expected["anchors_idx0"]))))
    for steps1, steps2, shared in _SETTINGS:
        options = AlignmentConfig(
            niter1=steps1,
            niter2=steps2,
            matching_conf_thr=_CONFIDENT,
            start="identity",
        )
        aligned = align(problem, options, shared_intrinsics=shared, shared_step_per_view=True)
        name = f"n1_{steps1}_n2_{steps2}{'_shared' if shared else ''}"
        yield from _compared(name, aligned, expected, long=steps2 > 10)
    views = [DenseView.of(aligned, i, canonical_view(inputs, i)) for i in range(_IMAGES)]
    yield from _dense(views, aligned.tree.root, expected)


def _problem(inputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> AlignmentProblem:
    canonical = [canonical_view(inputs, i) for i in range(_IMAGES)]
    views = tuple(
        View(
            (view.size[1], view.size[0]),
            view.core_depth,
            float(expected["base_focals"][i]),
            (view.size[1] / 2, view.size[0] / 2),
            float(view.confidence.mean()),
        )
        for i, view in enumerate(canonical)
    )

    def predicted(image: int, frame: int) -> Predicted:
        points, confidence = (inputs[f"fw_{frame}_{image}_{k}ji"][::8, ::8] for k in "XC")
        return Predicted(points.reshape(-1, 3).astype(float), confidence.reshape(-1).astype(float))

    pairs = []
    for j, i in combinations(range(_IMAGES), 2):
        xy1, xy2, confidence = (inputs[f"corres_{i}_{j}_{part}"] for part in ("xy1", "xy2", "conf"))
        sides = Anchored.of(canonical[i], xy1), Anchored.of(canonical[j], xy2)
        pairs.append(AlignedPair(i, j, *sides, confidence.astype(float), predicted(i, j), predicted(j, i)))
    return AlignmentProblem(views, tuple(pairs))


def _compared(name: str, aligned: Aligned, expected: dict[str, np.ndarray], *, long: bool) -> Iterator[Case]:
    losses = [float(loss) for loss in re.findall(r"loss = (\S+)", str(expected[f"{name}_log"]))]
    yield compare(f"{name} losses", aligned.losses, losses, atol=0, rtol=1e-5)
    for stage, cameras in (("coarse", aligned.coarse), ("fine", aligned.fine)):
        if cameras is None or f"{name}_{stage}_K" not in expected:
            continue
        key, wide = f"{name} {stage}", long and stage == "fine"
        lens = expected[f"{name}_{stage}_K"]
        yield compare(f"{key} focal", cameras.focal, lens[:, 0, 0], atol=0.05 if wide else 1e-3)
        rotation, centre = _in_root(cameras, aligned.tree.root)
        pose = expected[f"{name}_{stage}_cam2root"]
        exact = 3e-4 if long else 1e-5
        yield compare(f"{key} rotation", rotation, pose[:, :3, :3], atol=exact)
        yield compare(f"{key} centres", centre, pose[:, :3, 3], atol=5e-3 if long else 1e-4)
        depth = cameras.depth.reshape(_IMAGES, -1)
        stored = expected[f"{name}_{stage}_depthmaps"]
        yield compare(f"{key} depth", depth, stored, atol=5e-3 if long else 1e-4)


def _in_root(cameras: Cameras, root: int) -> tuple[np.ndarray, np.ndarray]:
    rotation, centre = cameras.rotation.double().numpy(), cameras.centre.double().numpy()
    return rotation[root].T @ rotation, (centre - centre[root]) @ rotation[root]


def _dense(views: list[DenseView], root: int, expected: dict[str, np.ndarray]) -> Iterator[Case]:
    frame = views[root]
    points = (views[0].points().reshape(-1, 3)[::7] - frame.centre) @ frame.rotation
    yield compare("dense points", points, expected["dense_pts_img0_s7_rootframe"], atol=5e-3)
    raw, cleaned = expected["dense_conf_raw_img0"], expected["dense_conf_clean_img0"]
    yield compare("dense confidence", views[0].confidence, raw, atol=1e-4)
    differing = np.count_nonzero((next(cleaned_confidence(views)) == 0) != (cleaned == 0))
    yield compare("cleaned pixels", [differing], [0], atol=_BORDER_PIXELS)
