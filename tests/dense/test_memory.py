"""Batches that run out of memory are halved; a single item that is too much is given up, not the run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from sfm.matching.dense.inference.memory import guess_batch, is_memory_error, memory_errors_halve


def run(
    limit: int, items: Sequence[int], error: type[BaseException] = torch.OutOfMemoryError
) -> tuple[list[int], list[int]]:
    lost: list[int] = []

    def work(some: Sequence[int]) -> list[int]:
        if sum(some) > limit:
            raise error("out of memory")
        return list(some)

    done = [
        item
        for part in memory_errors_halve(items, work, lambda some, why: lost.extend(some))
        for item in part
    ]
    return done, lost


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_batches_are_halved_until_they_fit(error: type[BaseException]) -> None:
    assert run(3, [1, 1, 1, 1, 1, 1, 1], error) == ([1] * 7, [])


def test_an_item_that_is_too_much_alone_is_given_up() -> None:
    assert run(3, [1, 9, 1, 2]) == ([1, 1, 2], [9])


def test_other_errors_are_not_swallowed() -> None:
    def work(some: Sequence[int]) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        list(memory_errors_halve([1], work, lambda some, why: None))


def test_the_memory_error_of_the_cpu_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_memory_error(caught.value)


def test_a_batch_is_never_empty() -> None:
    assert guess_batch(10**12, torch.device("cpu")) == 1
    assert 1 <= guess_batch(512 * 384 * 2, torch.device("cpu")) <= 4


@pytest.mark.parametrize("library", ["CUBLAS", "CUDNN"])
def test_libraries_without_room_to_work_are_memory_errors(library: str) -> None:
    assert is_memory_error(RuntimeError(f"CUDA error: {library}_STATUS_ALLOC_FAILED when calling `create`"))
    assert not is_memory_error(RuntimeError(f"CUDA error: {library}_STATUS_EXECUTION_FAILED"))
