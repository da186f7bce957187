"""What is kept between runs, and what happens without memory."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.mast3r.values import DenseMatches, ViewDepth
from sfm.matching.dense.inference.memory import guess_batch, is_memory_error, memory_errors_halve
from sfm.matching.dense.inference.pair_store import PairResult, PairStore
from sfm.matching.dense.inference.token_cache import TokenCache

SIZE = (32, 48)


def tokens(seed: int) -> torch.Tensor:
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(seed))


def result(seed: int, *, depth: bool = False) -> PairResult:
    chance = np.random.default_rng(seed)
    num = 5 + seed
    view = ViewDepth(
        chance.random((3, 4)).astype(np.float32), np.full((3, 4), 2.0, np.float32), 4, 500.0 + seed
    )
    matches = DenseMatches(
        chance.random((num, 2)).astype(np.float32),
        chance.random((num, 2)).astype(np.float32),
        chance.random(num).astype(np.float32),
    )
    return PairResult(matches, "", view if depth else None, None)


def same(one: PairResult, other: PairResult) -> bool:
    arrays = [(r.matches.xy_a, r.matches.xy_b, r.matches.confidence) for r in (one, other)]
    return one.why == other.why and all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


def test_tokens_come_back_as_bfloat16(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path, 10**6)
    cache.put("aa11", tokens(1))
    again = TokenCache(tmp_path, 10**6).get("aa11", "a.jpg", SIZE)
    assert again is not None
    assert again.tokens.dtype == torch.bfloat16
    assert torch.equal(again.tokens, tokens(1).to(torch.bfloat16))


def test_the_token_cache_stays_within_its_bound_and_drops_what_was_unused_longest(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path, 450)
    for index, content in enumerate(("aa", "bb", "cc")):
        cache.put(content, tokens(1))
        for path in tmp_path.glob(f"*/{content}.safetensors"):
            os.utime(path, (index, index))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) <= 450
    assert "cc" in cache
    assert "aa" not in cache


def test_a_photo_that_does_not_fit_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path, 10)
    cache.put("aa", tokens(1))
    assert cache.get("aa", "a.jpg", SIZE) is None


@pytest.mark.parametrize("damage", ["truncated", "other size"])
def test_damaged_tokens_are_forgotten(tmp_path: Path, damage: str) -> None:
    TokenCache(tmp_path, 10**6).put("aa", tokens(1))
    (path,) = tmp_path.rglob("*.safetensors")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:50])
    cache = TokenCache(tmp_path, 10**6)
    assert cache.get("aa", "a.jpg", SIZE if damage == "truncated" else (16, 16)) is None
    assert "aa" not in cache


def test_pair_results_come_back_exactly(tmp_path: Path) -> None:
    store = PairStore(tmp_path)
    store.add({("a", "b"): result(1, depth=True), ("a", "c"): result(2)})
    again = PairStore(tmp_path)
    assert same(again.get(("a", "b")), result(1))
    assert same(again.get(("a", "c")), result(2))
    depth = again.get(("a", "b")).depth_a
    assert depth is not None
    assert np.array_equal(depth.depth, result(1, depth=True).depth_a.depth)  # type: ignore[union-attr]
    assert depth.focal_px == 501.0
    assert again.depth_contents() == ["a"]
    assert len(again.depths("a")) == 1
    assert again.depths("b") == []


def test_small_segments_are_joined_and_nothing_is_lost(tmp_path: Path) -> None:
    store = PairStore(tmp_path)
    for index in range(20):
        store.add({(f"p{index}", "q"): result(index, depth=index % 2 == 0)})
    assert len(list(tmp_path.glob("segment_*"))) <= 8
    again = PairStore(tmp_path)
    assert len(again) == 20
    for index in range(20):
        assert same(again.get((f"p{index}", "q")), result(index))


def test_a_damaged_segment_costs_its_own_pairs_only(tmp_path: Path) -> None:
    store = PairStore(tmp_path)
    store.add({("a", "b"): result(1)})
    store.add({("a", "c"): result(2)})
    first = min(tmp_path.glob("segment_*"))
    first.write_bytes(first.read_bytes()[:-30])
    again = PairStore(tmp_path)
    assert ("a", "b") not in again
    assert same(again.get(("a", "c")), result(2))


def test_nothing_added_writes_nothing(tmp_path: Path) -> None:
    PairStore(tmp_path / "never").add({})
    assert not (tmp_path / "never").exists()


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
