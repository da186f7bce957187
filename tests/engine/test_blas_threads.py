"""Small linear systems are solved on one thread, whatever the machine has."""

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from sfm.stages.session import one_blas_thread


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@one_blas_thread()
def solve() -> set[int]:
    scipy.linalg.cho_factor(np.eye(3))
    return blas_threads()


def test_linear_systems_take_one_thread_and_the_setting_is_restored() -> None:
    scipy.linalg.cho_factor(np.eye(3))  # or its library is not there yet
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()

        within = solve()

        assert before == {2}
        assert within == {1}
        assert blas_threads() == before
