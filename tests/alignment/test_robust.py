"""Similarities are found through strays, and refused where they are open."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sfm.geometry.similarity import fit_cameras, fit_points, is_line


def _similarity(rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
    return float(rng.uniform(0.1, 10)), Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3) * 5


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), strays=st.integers(0, 12))
def test_points_are_brought_together_whatever_a_third_of_them_say(seed: int, strays: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(40, 3)) * [5, 3, 1]
    scale, rotation, translation = _similarity(rng)
    target = scale * source @ rotation.T + translation
    target[:strays] += rng.normal(size=(strays, 3)) * 20 * scale

    fit = fit_points(source, target)

    assert fit is not None
    assert abs(fit.sim3.scale / scale - 1) < 1e-6
    np.testing.assert_allclose(fit.sim3.rotation.matrix(), rotation, atol=1e-6)
    assert fit.inliers[strays:].all()
    assert not fit.inliers[:strays].any() or strays == 0 or fit.residuals[:strays].min() < 1e-3


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(2, 12))
def test_cameras_on_a_line_have_one_place_since_they_look_somewhere(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    source = np.linspace(0, 1, count)[:, None] * rng.normal(size=3) * 7
    turns = Rotation.random(count, random_state=rng).as_matrix()
    scale, rotation, translation = _similarity(rng)

    fit = fit_cameras(
        source, scale * source @ rotation.T + translation, turns, np.einsum("nij,kj->nik", turns, rotation)
    )

    assert fit is not None
    np.testing.assert_allclose(fit.sim3.rotation.matrix(), rotation, atol=1e-6)
    assert abs(fit.sim3.scale / scale - 1) < 1e-6


def test_positions_on_a_line_leave_the_rotation_open() -> None:
    line = np.linspace(0, 1, 9)[:, None] * [1.0, 2.0, 3.0]

    assert is_line(line)
    assert fit_points(line, 2 * line) is None


def test_cameras_in_one_place_have_no_scale() -> None:
    turns = Rotation.random(5, random_state=1).as_matrix()

    assert fit_cameras(np.zeros((5, 3)), np.zeros((5, 3)), turns, turns) is None
