import numpy as np
import pytest

from kernels.cross_matrices import cross_matrices


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3)])
def test_a_matrix_times_a_vector_is_the_cross_product(shape: tuple[int, ...]) -> None:
    first, second = np.random.default_rng(0).normal(size=(2, *shape))
    np.testing.assert_allclose((cross_matrices(first) @ second[..., None])[..., 0], np.cross(first, second))
