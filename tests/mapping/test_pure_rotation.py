"""The derivatives by which rotations about one spot are fitted to matches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfm.mapping.measures.pure_rotation import _Matches

NUM_IMAGES = 4


@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
def test_derivatives_are_those_of_the_residuals(seed: int, turned: float) -> None:
    """With images of two lenses, so that both ends of a match may share one."""
    rng = np.random.default_rng(seed)
    ends = np.array([(a, b) for b in range(NUM_IMAGES) for a in range(b) for _ in range(3)])
    first, second = rng.normal(0, 300, (2, len(ends), 2))
    lens = np.arange(NUM_IMAGES) % 2
    matches = _Matches(range(NUM_IMAGES), (1, 2), lens, ends, first, second)
    lenses = np.log(800), -0.1, np.log(900), 0.1
    directions = rng.normal(size=(NUM_IMAGES, 3))
    turns = turned * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    at = np.concatenate((lenses, turns.ravel()))
    steps = 1e-6 * np.eye(len(at))
    numeric = [(matches.residuals(at + step) - matches.residuals(at - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(matches.jacobian(at), np.stack(numeric, axis=2), rtol=1e-4, atol=1e-3)
