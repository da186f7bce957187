"""Nearest neighbours against the full matrix of similarities."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels import nearest as module
from kernels.dispatch import Backend, use_backend
from kernels.nearest import nearest

FIXTURES = Path(__file__).parent / "data" / "nn_smooth.npz"


@pytest.fixture(params=["one tile", "many tiles", "many threads"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same with tiles so small that any input has several, rows and columns, and with threads for few."""
    before = torch.get_num_threads()
    if request.param != "one tile":
        monkeypatch.setattr(module, "_TILE_ROWS", 70)
        monkeypatch.setattr(module, "_TILE", 70 * 64)
    if request.param == "many threads":
        monkeypatch.setattr(module, "_SHARE", 1)
        torch.set_num_threads(3)
    yield str(request.param)
    torch.set_num_threads(before)


def whole_numbers(count: int, depth: int, seed: int, most: int = 2) -> Tensor:
    """Descriptors whose products are exact in any order of summation, and often equal."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(-most, most + 1, (count, depth), generator=random).float()


def by_definition(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The first of the largest in each row of the full matrix, by numpy in float64."""
    similarities = a.double().numpy() @ b.double().numpy().T
    return torch.from_numpy(similarities.argmax(axis=1)), torch.from_numpy(similarities.max(axis=1)).float()


@pytest.mark.usefixtures("tiles")
class TestDefinition:
    @given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 30), st.integers(0, 2**16))
    def test_first_largest(self, count: int, base: int, depth: int, seed: int) -> None:
        a, b = whole_numbers(count, depth, seed), whole_numbers(base, depth, seed + 1)

        indices, similarity = nearest(a, b)

        expected, largest = by_definition(a, b)
        assert indices.dtype == torch.int64
        assert similarity.dtype == torch.float32
        assert torch.equal(indices, expected)
        assert torch.equal(similarity, largest)

    def test_equal_descriptors_far_apart(self) -> None:
        b = torch.nn.functional.normalize(torch.randn(333, 24), dim=1).repeat(3, 1)

        indices, _ = nearest(b, b)

        assert torch.equal(indices, torch.arange(333).repeat(3))

    @settings(deadline=None, max_examples=10)
    @given(st.integers(0, 2**16))
    def test_the_order_of_either_side_does_not_matter(self, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        a, b = torch.randn(150, 24, generator=random), torch.randn(260, 24, generator=random)
        order_a, order_b = torch.randperm(150, generator=random), torch.randperm(260, generator=random)
        indices, _ = nearest(a, b)

        shuffled, _ = nearest(a[order_a], b[order_b])

        assert torch.equal(order_b[shuffled], indices[order_a])


@pytest.mark.usefixtures("tiles")
def test_stored_results() -> None:
    with np.load(FIXTURES) as stored:
        a, b = (torch.from_numpy(stored[key]).flatten(0, 1) for key in ("desc1", "desc2"))

        assert np.array_equal(nearest(a, b)[0], stored["exhaustive_nn1to2"])
        assert np.array_equal(nearest(b, a)[0], stored["exhaustive_nn2to1"])


def test_torchs_threads_are_as_many_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARE", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        nearest(torch.randn(70, 24), torch.randn(700, 24))

        with ThreadPoolExecutor(1) as pool:
            assert (torch.get_num_threads(), pool.submit(torch.get_num_threads).result()) == (3, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_results_are_plain_tensors(mode: Callable[[], AbstractContextManager[None]]) -> None:
    with mode():
        a, b = torch.randn(200, 24), torch.randn(70000, 24)
    a, b = (a, b) if a.is_inference() else (a.requires_grad_(), b.requires_grad_())

    indices, similarity = nearest(a, b)

    indices += 1
    assert not similarity.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_multiplied_in_float32(dtype: torch.dtype) -> None:
    a, b = torch.randn(50, 24).to(dtype), torch.randn(90, 24).to(dtype)

    indices, similarity = nearest(a, b)

    expected, largest = nearest(a.float(), b.float())
    assert torch.equal(indices, expected)
    assert torch.equal(similarity, largest)


def test_views_of_maps() -> None:
    a, b = torch.randn(24, 5, 7).permute(1, 2, 0), torch.randn(24, 99).T

    indices, _ = nearest(a.flatten(0, 1), b)

    assert torch.equal(indices, by_definition(a.flatten(0, 1), b)[0])


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_descriptors_without_numbers_match_nothing(broken: float) -> None:
    a, b = whole_numbers(40, 8, 0), whole_numbers(60, 8, 1)
    a[3, 2] = a[17] = broken
    b[0, 5] = b[44] = broken
    sound_a = [row for row in range(40) if row not in (3, 17)]
    sound_b = torch.tensor([row for row in range(60) if row not in (0, 44)])

    indices, similarity = nearest(a, b)

    assert indices[[3, 17]].tolist() == [-1, -1]
    assert torch.isneginf(similarity[[3, 17]]).all()
    expected, largest = by_definition(a[sound_a], b[sound_b])
    assert torch.equal(indices[sound_a], sound_b[expected])
    assert torch.equal(similarity[sound_a], largest)


def test_nothing_but_broken_descriptors() -> None:
    a, broken = torch.randn(3, 4), torch.full((5, 4), torch.nan)

    assert nearest(a, broken)[0].tolist() == [-1, -1, -1]
    assert nearest(broken, a)[0].tolist() == [-1] * 5


def test_finite_descriptors_whose_sum_is_not() -> None:
    a = torch.full((2, 3), 3e38)

    indices, _ = nearest(a, torch.tensor([[1e-38, 0, 0], [2e-38, 0, 0]]))

    assert indices.tolist() == [1, 1]


def test_products_that_overflow_stay_within_the_base() -> None:
    a = torch.tensor([[1e30, 1e30], [1e30, -1e30]])

    indices, _ = nearest(a, torch.tensor([[1e30, 1e30], [-1e30, 1e30], [0.0, 0.0]]))

    assert all(0 <= index < 3 for index in indices.tolist())


@pytest.mark.parametrize(("count", "base"), [(0, 5), (5, 0), (0, 0)])
def test_empty_sets(count: int, base: int) -> None:
    indices, similarity = nearest(torch.zeros(count, 24), torch.zeros(base, 24))

    assert indices.tolist() == [-1] * count
    assert similarity.tolist() == [-torch.inf] * count


def test_the_version_for_other_devices_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = whole_numbers(90, 24, 0), whole_numbers(200, 24, 1)
    monkeypatch.setattr(module, "_DEVICE_TILE", 90 * 33)

    indices, similarity = module._nearest_on_device(a, b)

    assert torch.equal(indices, by_definition(a, b)[0])
    assert torch.equal(similarity, by_definition(a, b)[1])


@pytest.mark.gpu
@pytest.mark.parametrize("version", ["torch", "triton"])
def test_on_cuda(version: Backend) -> None:
    pytest.importorskip(version)
    a, b = whole_numbers(3000, 24, 0), whole_numbers(20000, 24, 1)

    with use_backend(version):
        indices, similarity = nearest(a.cuda(), b.cuda())

    assert torch.equal(indices.cpu(), by_definition(a, b)[0])
    assert torch.equal(similarity.cpu(), by_definition(a, b)[1])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.zeros(3, 4), torch.zeros(3, 5)),
        (torch.zeros(3), torch.zeros(3, 5)),
        (torch.zeros(3, 4), torch.zeros(1, 3, 4)),
        (torch.zeros(3, 4, dtype=torch.int64), torch.zeros(3, 4)),
    ],
)
def test_what_does_not_fit_is_refused(a: Tensor, b: Tensor) -> None:
    with pytest.raises(ValueError, match="nearest"):
        nearest(a, b)
