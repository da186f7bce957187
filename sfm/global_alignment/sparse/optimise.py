"""The schedule of sparse global alignment: points first, then pixels (MASt3R-SfM §3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pycolmap
import torch
from torch import Tensor

from sfm.config.schema import AlignmentConfig

from .known_poses import KnownPoses
from .losses import Losses
from .problem import AlignmentProblem
from .tree import KinematicTree, kinematic_tree
from .variables import Cameras, Variables

_BETAS = (0.9, 0.9)


@dataclass(frozen=True, slots=True)
class Aligned:
    """The result of an alignment."""

    tree: KinematicTree
    variables: Variables
    coarse: Cameras
    fine: Cameras | None
    """None where there was no fine stage."""
    losses: tuple[float, ...]
    """The last loss of each stage that made a step."""
    stopped: str = ""
    """Where and why the optimisation stopped early; empty when it didn't."""

    @property
    def cameras(self) -> Cameras:
        """Of the last stage."""
        return self.fine or self.coarse


def align(
    problem: AlignmentProblem,
    options: AlignmentConfig | None = None,
    *,
    shared_intrinsics: bool = False,
    shared_step_per_view: bool = False,
    device: torch.device | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Aligned:
    """Cameras and depth of all views of a connected graph.

    Known poses stay, and the result is in their world; depth gives its unit where they all are at one place.
    Without any, the pose of the tree's root stays the identity, since no loss depends on it. The state of a
    stage is that before its last step. The same machine and number of threads give the same result.

    Args:
        problem: at least one view; views in one connected graph of pairs.
        options: the schedule, with the names and defaults of the published demo.
        shared_intrinsics: whether all views have one camera.
        shared_step_per_view: whether a step moves shared intrinsics once for each view, as the published code
            does; for parity.
        device: where it runs.
        on_step: called after each step.

    Raises:
        ValueError: the graph is not connected.
    """
    options = options or AlignmentConfig()
    tree = kinematic_tree(problem.scores(), problem.sizes(), options.kinematic)
    known = KnownPoses.of(problem)
    tree = tree if known is None else tree.rooted_at(known.root)
    dtype = torch.float64 if options.precision == "fp64" else torch.float32
    variables = Variables(problem, tree, shared_intrinsics=shared_intrinsics, dtype=dtype, device=device)
    to_world = _started(problem, tree, variables, known, options.start)
    losses = Losses(problem, variables, threshold=options.matching_conf_thr)
    moved = variables.poses_and_sizes()
    coarse = _stage("coarse", variables, moved, losses.coarse, options.lr1, options.niter1, on_step)
    if coarse.stopped or options.level == "coarse" or not options.niter2:
        return Aligned(tree, variables, to_world(coarse.cameras), None, coarse.losses, coarse.stopped)
    moved += [variables.core] if options.level == "refine+depth" else []
    repeats = len(problem.views) if shared_intrinsics and shared_step_per_view else 1
    fine = _stage(
        "fine",
        variables,
        moved,
        losses.fine,
        options.lr2,
        options.niter2,
        on_step,
        intrinsics=variables.intrinsics(),
        repeats=repeats,
    )
    last = (*coarse.losses, *fine.losses)
    return Aligned(tree, variables, to_world(coarse.cameras), to_world(fine.cameras), last, fine.stopped)


def _started(
    problem: AlignmentProblem,
    tree: KinematicTree,
    variables: Variables,
    known: KnownPoses | None,
    start: Literal["pointmaps", "identity"],
) -> Callable[[Cameras], Cameras]:
    """Set the variables to where they start; gives the way of cameras to the world of the result."""
    if known is None:
        if start == "pointmaps":
            variables.start_from(tree, _placed_views(problem))
        return lambda cameras: cameras
    if start == "pointmaps" or known.gives_scale:  # views at one place have no scale
        placed = _placed_views(problem)
    else:
        placed = [pycolmap.Sim3d()] * len(problem.views)
    world_from_view = known.start(placed)
    variables.start_from(tree, world_from_view, known.world_from_view)
    return partial(known.in_world, world_from_root=world_from_view[tree.root])


def _placed_views(problem: AlignmentProblem) -> list[pycolmap.Sim3d]:
    """Similarities from the frames of views to that of one of them, by predicted points."""
    placed: dict[tuple[int, int], pycolmap.Sim3d] = {}
    for pair in problem.pairs:
        if pair.second_in_first is not None:
            placed[pair.first, pair.second] = pair.second_in_first
        if pair.first_in_second is not None:
            placed[pair.second, pair.first] = pair.first_in_second
    tree = kinematic_tree(problem.scores(), problem.sizes(), "mst")
    found = {tree.root: pycolmap.Sim3d()}
    for parent, child in tree.edges:
        found[child] = found[parent] * placed.get((parent, child), pycolmap.Sim3d())
    return [found[view] for view in range(len(problem.views))]


@dataclass(frozen=True, slots=True)
class _Stage:
    cameras: Cameras
    losses: tuple[float, ...]
    stopped: str = ""


def _stage(
    name: str,
    variables: Variables,
    moved: Sequence[Tensor],
    loss_of: Callable[[Cameras], Tensor],
    rate: float,
    steps: int,
    on_step: Callable[[], None],
    *,
    intrinsics: Sequence[Tensor] = (),
    repeats: int = 1,
) -> _Stage:
    """Steps of Adam on the variables; those on intrinsics are made `repeats` times each."""
    free = (*moved, *intrinsics)
    for tensor in free:
        tensor.requires_grad_(True)
    adams = [(torch.optim.Adam(moved, lr=rate, betas=_BETAS), 1)]
    if intrinsics:
        adams.append((torch.optim.Adam(intrinsics, lr=rate, betas=_BETAS), repeats))
    kept, stopped = variables.cameras().detached(), ""
    last: tuple[float, ...] = ()
    for step in range(steps):
        for adam, _ in adams:
            adam.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
            adam.zero_grad()
        cameras = variables.cameras()
        loss = loss_of(cameras)
        if not (bool(torch.isfinite(loss)) and cameras.is_finite()):
            stopped = f"the {name} stage of the alignment met numbers that are not finite in step {step + 1}"
            break
        kept, last = cameras.detached(), (float(loss.detach()),)
        if loss.requires_grad:
            torch.autograd.backward(loss)
        variables.hold()
        for adam, times in adams:
            for _ in range(times):
                adam.step()
        variables.normalise()
        on_step()
    for tensor in free:
        tensor.requires_grad_(False)
    return _Stage(kept, last, stopped)
