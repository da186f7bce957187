"""Sparse alignment finds cameras and depth that are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sfm.config.schema import AlignmentConfig
from sfm.global_alignment.sparse.losses import robust
from sfm.global_alignment.sparse.optimise import Aligned, align
from sfm.global_alignment.sparse.problem import AlignmentProblem
from sfm.global_alignment.sparse.tree import kinematic_tree
from sfm.global_alignment.sparse.variables import rotation_matrix
from tests.global_alignment.problems import problem

COARSE = AlignmentConfig(level="coarse", niter1=200)


def errors(aligned: Aligned, turns: np.ndarray, centres: np.ndarray) -> tuple[float, float]:
    """Largest errors of relative rotations, degrees, and of centres in the frame of the root."""
    rotation = aligned.cameras.rotation.double().numpy()
    centre = aligned.cameras.centre.double().numpy()
    root = aligned.tree.root
    relative, truth = rotation[root].T @ rotation, turns[root].T @ turns
    angle = Rotation.from_matrix(np.swapaxes(relative, 1, 2) @ truth).magnitude()
    moved = (centre - centre[root]) @ rotation[root] - (centres - centres[root]) @ turns[root]
    return float(np.rad2deg(angle.max())), float(np.abs(moved).max())


@settings(max_examples=5, deadline=None)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_the_pointmaps_alone_are_the_truth_where_they_are_exact(count: int, seed: int) -> None:
    task, turns, centres = problem(count, seed, spread=0.15)

    aligned = align(task, replace(COARSE, niter1=0, precision="fp64"))

    degrees, apart = errors(aligned, turns, centres)
    assert degrees < 1e-4
    assert apart < 1e-5


@pytest.mark.parametrize("start", ["pointmaps", "identity"])
def test_the_coarse_stage_brings_matched_points_together(start: str) -> None:
    task, turns, centres = problem(4, 3)

    aligned = align(task, replace(COARSE, start=start))

    degrees, apart = errors(aligned, turns, centres)
    assert degrees < 1
    assert apart < 0.1
    assert aligned.losses[-1] < 0.1  # matches are rounded to whole pixels


def test_equal_runs_are_equal() -> None:
    task, _, _ = problem(3, 1)
    one, other = (align(task, AlignmentConfig(niter1=20, niter2=20)) for _ in range(2))

    assert torch.equal(one.cameras.rotation, other.cameras.rotation)
    assert torch.equal(one.cameras.depth, other.cameras.depth)


def test_the_root_and_known_intrinsics_stay() -> None:
    task, _, _ = problem(3, 2)
    views = (replace(task.views[0], known_intrinsics=True), *task.views[1:])

    aligned = align(replace(task, views=views), AlignmentConfig(niter1=10, niter2=10))

    assert float(aligned.cameras.focal[0]) == pytest.approx(60.0)
    assert aligned.cameras.principal_point[0].tolist() == pytest.approx([32.0, 24.0])
    assert float(aligned.cameras.focal[1]) != pytest.approx(60.0, abs=1e-4)
    root = aligned.tree.root
    assert torch.allclose(aligned.cameras.rotation[root], torch.eye(3), atol=1e-6)


def test_shared_intrinsics_are_one_camera() -> None:
    task, _, _ = problem(3, 2)
    aligned = align(task, AlignmentConfig(niter1=5, niter2=5), shared_intrinsics=True)

    assert len(set(aligned.cameras.focal.tolist())) == 1


def test_numbers_that_are_not_finite_end_it_with_the_last_good_state() -> None:
    task, _, _ = problem(2, 0)
    pair = task.pairs[0]
    broken = replace(pair, confidence=np.full(len(pair.confidence), np.nan))

    aligned = align(replace(task, pairs=(broken,)), AlignmentConfig(niter1=5))

    assert "coarse" in aligned.stopped
    assert aligned.cameras.is_finite()


def test_pairs_without_a_confident_match_are_held_by_their_points() -> None:
    task, turns, centres = problem(3, 4)

    aligned = align(task, replace(COARSE, matching_conf_thr=100.0, start="identity", niter1=300))

    # Predictions are taken at the corners of blocks, as published, while depth is that of their centres.
    degrees, apart = errors(aligned, turns, centres)
    assert degrees < 5
    assert apart < 0.3


def test_one_view_alone_is_aligned() -> None:
    task, _, _ = problem(2, 0)
    aligned = align(AlignmentProblem(task.views[:1], ()))

    assert aligned.tree.edges == ()
    assert aligned.cameras.is_finite()


@given(st.integers(2, 8), st.integers(0, 1000), st.sampled_from(["hclust-ward", "hclust-average", "mst"]))
def test_a_tree_spans_all_images_parents_first(count: int, seed: int, kinematic: str) -> None:
    chance = np.random.default_rng(seed)
    scores = chance.integers(1, 200, (count, count))
    scores = np.triu(scores, 1) + np.triu(scores, 1).T

    tree = kinematic_tree(scores, np.full((count, 2), 64), kinematic)

    reached = {tree.root}
    for parent, child in tree.edges:
        assert parent in reached
        assert child not in reached
        reached.add(child)
    assert reached == set(range(count))
    assert [edge for level in tree.levels() for edge in level] == sorted(
        tree.edges, key=lambda edge: [edge in level for level in tree.levels()].index(True)
    )


def test_images_that_nothing_connects_are_no_tree() -> None:
    with pytest.raises(ValueError, match="not connected"):
        kinematic_tree(np.zeros((2, 2)), np.full((2, 2), 64), "mst")


@given(st.floats(0, 50), st.sampled_from([0.5, 1.1, 1.5]))
def test_a_robust_loss_starts_at_zero_with_slope_one(distance: float, gamma: float) -> None:
    values = robust(torch.tensor([0.0, 1e-4, distance], dtype=torch.float64), gamma)
    assert float(values[0]) == 0
    assert float(values[1]) == pytest.approx(1e-4, rel=1e-2)
    assert float(values[2]) >= 0


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: sum(x * x for x in q) > 0.01))
def test_rotation_matrices_are_those_of_scipy(quaternion: list[float]) -> None:
    found = rotation_matrix(torch.tensor([quaternion], dtype=torch.float64))[0].numpy()
    np.testing.assert_allclose(found, Rotation.from_quat(quaternion).as_matrix(), atol=1e-12)


def test_the_published_optimiser_gives_the_same(shared_parity: Path) -> None:
    from parity import sparse_alignment

    found = list(sparse_alignment.cases(shared_parity))
    assert len(found) > 40
    assert [case.name for case in found if not case.passed] == []
