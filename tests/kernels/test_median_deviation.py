"""The standard deviation by medians."""

import numpy as np
import pytest

from kernels.median_deviation import median_deviation


def test_it_is_that_of_normal_errors_and_outliers_hardly_move_it() -> None:
    errors = np.random.default_rng(0).normal(0.0, 3.0, (100, 200))

    assert median_deviation(errors) == pytest.approx(3.0, rel=0.02)
    errors[:, :10] = 1e9
    assert median_deviation(errors) == pytest.approx(3.0, rel=0.1)
