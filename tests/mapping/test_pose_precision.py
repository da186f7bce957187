"""How probably noise leaves the poses of a model near the true ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.diagnosis.pose_covariance import PoseSigma
from sfm.diagnosis.pose_precision import precision

sigmas = st.builds(PoseSigma, st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))


def test_it_is_that_of_a_normal_error_with_four_times_the_formal_deviation() -> None:
    by_turn = precision([PoseSigma(0.0, 0.5)], extent=10.0)
    by_shift = precision([PoseSigma(0.05, 0.1)], extent=10.0)

    assert by_turn == by_shift == pytest.approx(0.6827, abs=1e-4)


def test_a_twentieth_of_the_photos_may_be_open() -> None:
    exact, open_ = PoseSigma(0.001, 0.001), PoseSigma(5.0, 90.0)

    assert precision([exact] * 19 + [open_], extent=10.0) == 1.0
    assert (precision([exact] * 18 + [open_] * 2, extent=10.0) or 0) < 0.01


def test_nobody_knows_it_without_standard_deviations() -> None:
    assert precision([], extent=10.0) is None
    assert precision([PoseSigma(0.0, 0.0)], extent=10.0) == 1.0


@given(st.lists(sigmas, min_size=1, max_size=30), st.floats(0.1, 100.0), st.floats(1.0, 10.0))
def test_less_exact_poses_are_less_probably_near_and_units_do_not_matter(
    poses: list[PoseSigma], extent: float, factor: float
) -> None:
    found = precision(poses, extent) or 0.0

    worse = [PoseSigma(factor * one.position, factor * one.rotation_deg) for one in poses]
    assert (precision(worse, extent) or 0.0) <= found <= 1
    scaled = [PoseSigma(factor * one.position, one.rotation_deg) for one in poses]
    assert precision(scaled, factor * extent) == pytest.approx(found, abs=2e-4)
    assert np.isfinite(found)
