"""Dense alignment: it starts at exact pointmaps as they are, and equals the published optimiser."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from sfm.global_alignment.dense.optimise import DenseAlignment, Direction
from sfm.global_alignment.dense.start import UnconnectedError, placed_images, start_variables
from tests.global_alignment.problems import SIZE, seen_points

WIDE = (SIZE[1], SIZE[0])


def directions(count: int, seed: int) -> tuple[list[Direction], np.ndarray, np.ndarray]:
    """All directions between exact views of a plane, each in a unit of its own."""
    seen, turns, centres = seen_points(count, seed)
    chance = np.random.default_rng(seed)
    found = []
    for i, j in permutations(range(count), 2):
        world = seen[j] @ turns[j].T + centres[j]
        unit, certain = chance.uniform(0.5, 2), np.full(SIZE, 5 + chance.random(), np.float32)
        there = unit * (world - centres[i]) @ turns[i]
        found.append(Direction(i, j, np.float32(unit * seen[i]), certain, np.float32(there), certain))
    return found, turns, centres


@pytest.mark.parametrize("count", [2, 4])
def test_exact_pointmaps_are_put_together_exactly(count: int) -> None:
    given, turns, _ = directions(count, 1)

    start = start_variables(given, [WIDE] * count, dtype=torch.float64)
    alignment = DenseAlignment(given, [WIDE] * count, start)

    assert float(alignment.loss()) < 1e-2
    cameras = alignment.cameras()
    assert cameras.focal.tolist() == pytest.approx([60.0] * count, rel=1e-3)
    rotation = cameras.rotation.numpy()
    relative = rotation[0].T @ rotation
    angle = Rotation.from_matrix(np.swapaxes(relative, 1, 2) @ (turns[0].T @ turns)).magnitude()
    assert np.rad2deg(angle).max() < 0.2


def test_steps_bring_displaced_cameras_back() -> None:
    given, _, _ = directions(3, 2)
    start = start_variables(given, [WIDE] * 3)
    start.poses[1:, 4:] += 0.1
    alignment = DenseAlignment(given, [WIDE] * 3, start)
    before = float(alignment.loss())

    alignment.run(100)

    assert float(alignment.loss()) < 0.2 * before


def test_a_loss_that_is_not_finite_moves_nothing() -> None:
    given, _, _ = directions(2, 0)
    alignment = DenseAlignment(given, [WIDE] * 2, start_variables(given, [WIDE] * 2))
    with torch.no_grad():
        alignment.variables.focals[0] = torch.nan
    before = alignment.variables.poses.clone()

    assert np.isnan(alignment.run(5))
    assert torch.equal(alignment.variables.poses, before)


def test_a_step_that_leaves_all_bounds_is_taken_back() -> None:
    given, _, _ = directions(3, 0)
    alignment = DenseAlignment(given, [WIDE] * 3, start_variables(given, [WIDE] * 3))

    assert not np.isfinite(alignment.run(5, rate=1e6))

    assert np.isfinite(float(alignment.loss()))


def test_images_that_nothing_connects_are_named() -> None:
    given, _, _ = directions(2, 0)
    with pytest.raises(UnconnectedError, match="1 of 3 images"):
        placed_images(given, [WIDE] * 3)


def test_the_published_optimiser_gives_the_same(shared_parity: Path) -> None:
    from parity import dense_alignment

    found = list(dense_alignment.cases(shared_parity))
    assert len(found) > 20
    assert [case.name for case in found if not case.passed] == []
