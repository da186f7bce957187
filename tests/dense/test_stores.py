"""Tokens and pair results on disk: found again exactly, bounded, and safe from damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.mast3r.values import DenseMatches, ViewDepth
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
