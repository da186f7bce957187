"""Small work takes one thread, large work all, and afterwards there are as many as before."""

from collections.abc import Iterator

import pytest
import torch

from sfm.matching.dense.pointmaps.torch_threads import threads_for


@pytest.fixture
def four_threads() -> Iterator[None]:
    given = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(given)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("num_points", "wanted"), [(0, 1), (900_000, 1), (2_500_000, 3), (10**9, 4)])
def test_threads_are_as_many_as_points_are_worth(num_points: int, wanted: int) -> None:
    with threads_for(num_points):
        assert torch.get_num_threads() == wanted

    assert torch.get_num_threads() == 4
