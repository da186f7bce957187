"""Sparse alignment holds poses that are known, and finds the others in their world."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pycolmap
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sfm.config.schema import AlignmentConfig
from sfm.geometry.similarity import fit_cameras
from sfm.global_alignment.sparse.optimise import Aligned, align
from sfm.global_alignment.sparse.problem import AlignmentProblem
from sfm.global_alignment.sparse.tree import kinematic_tree
from tests.global_alignment.problems import problem, with_known_poses

OPTIONS = AlignmentConfig(niter1=150, niter2=150)
WORLD = pycolmap.Sim3d(
    7.5,
    pycolmap.Rotation3d(Rotation.from_rotvec([0.4, -1, 2]).as_matrix()),
    np.array([300.0, -20, 5000]),
)
"""From the frame of the truth to that of the given poses, of another unit and far from its origin."""


def poses(aligned: Aligned) -> tuple[np.ndarray, np.ndarray]:
    return aligned.cameras.rotation.double().numpy(), aligned.cameras.centre.double().numpy()


def errors(turns: np.ndarray, centres: np.ndarray, truth: tuple) -> tuple[float, float]:
    """Largest errors of rotations, degrees, and of centres, in units of the truth."""
    true_turns, true_centres = truth
    angles = Rotation.from_matrix(np.swapaxes(true_turns, 1, 2) @ turns).magnitude()
    return float(np.rad2deg(angles.max())), float(np.linalg.norm(centres - true_centres, axis=1).max())


def in_truth(aligned: Aligned, world: pycolmap.Sim3d) -> tuple[np.ndarray, np.ndarray]:
    """Poses taken from a world to the frame of the truth."""
    turns, centres = poses(aligned)
    back = world.inverse()
    return back.rotation.matrix() @ turns, np.array([back * centre for centre in centres])


def median_scale(aligned: Aligned, task: AlignmentProblem) -> list[float]:
    """Of each view, its depth over the true one."""
    first = aligned.variables.first_block
    depth = [aligned.cameras.depth[a:b].numpy() for a, b in pairwise(first.tolist())]
    return [
        float(np.median(one / view.core_depth.reshape(-1)))
        for one, view in zip(depth, task.views, strict=True)
    ]


def assert_held(aligned: Aligned, task: AlignmentProblem, views: Sequence[int]) -> None:
    turns, centres = poses(aligned)
    for view in views:
        known = task.views[view].world_from_view
        assert known is not None
        np.testing.assert_array_equal(turns[view], known.rotation.matrix())
        np.testing.assert_array_equal(centres[view], known.translation)


@cache
def without_known(seed: int) -> Aligned:
    """The same problem, none of whose poses is known."""
    return align(problem(6, seed, spread=0.15)[0], OPTIONS)


@pytest.mark.parametrize("start", ["pointmaps", "identity"])
@pytest.mark.parametrize(("seed", "views"), [(0, (0, 3)), (1, (1, 2, 5))])
def test_known_poses_stay_and_the_others_are_as_near_as_free_ones(
    seed: int, views: tuple[int, ...], start: str
) -> None:
    task, turns, centres = problem(6, seed, spread=0.15)
    free = without_known(seed)
    moved = fit_cameras(poses(free)[1], centres, np.swapaxes(poses(free)[0], 1, 2), np.swapaxes(turns, 1, 2))
    assert moved is not None
    of_free = errors(*in_truth(free, moved.sim3.inverse()), (turns, centres))
    known = with_known_poses(task, turns, centres, views, WORLD)

    aligned = align(known, AlignmentConfig(niter1=150, niter2=150, start=start))

    assert_held(aligned, known, views)
    degrees, apart = errors(*in_truth(aligned, WORLD), (turns, centres))
    # the free ones are moved to all true poses, which takes away what they err by in common
    assert degrees < 1.5 * of_free[0]
    assert apart < 1.5 * of_free[1]
    assert max(abs(scale / WORLD.scale - 1) for scale in median_scale(aligned, task)) < 0.15


def test_where_all_poses_are_known_depth_and_intrinsics_are_found() -> None:
    task, turns, centres = problem(5, 3, spread=0.15)
    known = with_known_poses(task, turns, centres, range(5), WORLD)

    aligned = align(known, OPTIONS)

    assert_held(aligned, known, range(5))
    assert max(abs(scale / WORLD.scale - 1) for scale in median_scale(aligned, task)) < 0.05
    focal = aligned.cameras.focal.numpy()
    assert (focal != 60).all()
    assert np.abs(focal - 60).max() < 2


def test_one_known_pose_places_the_rest_and_leaves_the_unit_of_depth() -> None:
    task, turns, centres = problem(4, 2)
    known = with_known_poses(task, turns, centres, [2], WORLD)

    aligned = align(known, OPTIONS)

    assert_held(aligned, known, [2])
    assert max(abs(scale - 1) for scale in median_scale(aligned, task)) < 0.2
    turned, _ = in_truth(aligned, WORLD)
    assert errors(turned, centres, (turns, centres))[0] < 3


def test_known_poses_at_one_place_leave_the_unit_of_depth() -> None:
    task, turns, centres = problem(3, 5)
    known = with_known_poses(task, turns, np.zeros_like(centres), [0, 1], WORLD)

    aligned = align(known, OPTIONS)

    assert_held(aligned, known, [0, 1])
    assert aligned.cameras.is_finite()
    assert min(median_scale(aligned, task)) > 0.5


def test_the_coarse_stage_holds_known_poses_too_and_does_not_shrink_the_rest() -> None:
    task, turns, centres = problem(6, 4, spread=0.05)  # known centres close to each other
    known = with_known_poses(task, turns, centres, [0, 1], WORLD)

    aligned = align(known, AlignmentConfig(level="coarse", niter1=150))

    assert_held(aligned, known, [0, 1])
    assert min(scale / WORLD.scale for scale in median_scale(aligned, task)) > 0.5


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 5), st.integers(0, 1000), st.data())
def test_without_a_step_exact_pointmaps_are_in_the_given_world(
    count: int, seed: int, data: st.DataObject
) -> None:
    views = data.draw(st.sets(st.integers(0, count - 1), min_size=2))
    task, turns, centres = problem(count, seed, spread=0.15)
    known = with_known_poses(task, turns, centres, views, WORLD)

    aligned = align(known, AlignmentConfig(level="coarse", niter1=0, precision="fp64"))

    degrees, apart = errors(*in_truth(aligned, WORLD), (turns, centres))
    assert degrees < 1e-4
    assert apart < 1e-5
    np.testing.assert_allclose(median_scale(aligned, task), WORLD.scale, rtol=1e-5)


def test_known_poses_that_contradict_the_start_are_held_all_the_same() -> None:
    task, turns, centres = problem(3, 6)
    known = with_known_poses(task, turns, -centres, [0, 2], WORLD)  # no positive scale fits them

    aligned = align(known, AlignmentConfig(niter1=20, niter2=20))

    assert_held(aligned, known, [0, 2])
    assert aligned.cameras.is_finite()


@given(st.integers(2, 9), st.integers(0, 1000))
def test_a_tree_from_another_root_has_the_same_edges(count: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(1, 200, (count, count))
    tree = kinematic_tree(scores + scores.T, np.full((count, 2), 64))

    other = tree.rooted_at(seed % count)

    assert other.root == seed % count
    assert {frozenset(edge) for edge in other.edges} == {frozenset(edge) for edge in tree.edges}
    reached = {other.root}
    for parent, child in other.edges:
        assert parent in reached
        reached.add(child)
    assert len(reached) == count


def test_nothing_changes_where_no_pose_is_known() -> None:
    task, _, _ = problem(3, 1)
    aligned = align(task, AlignmentConfig(niter1=5, niter2=5))

    assert aligned.cameras.rotation.dtype == torch.float32
    assert torch.allclose(aligned.cameras.rotation[aligned.tree.root], torch.eye(3), atol=1e-6)
