"""Pairs through the network, kept on disk as they come; what was inferred before is not inferred again.

What failed is not kept: memory may suffice and a photo be back when the same command is run again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from retrieval import Pair
from sfm.config.schema import Mast3rConfig
from sfm.types import Photo
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import require_space

from .inference import PairInference
from .pair_store import Key, PairResult, PairStore

_MAX_PAIRS_A_FLUSH = 64
_MAX_SECONDS_A_FLUSH = 15.0
"""A kill loses at most the pairs since the last flush: 64 pairs, or those of 15 seconds."""

_BYTES_PER_PAIR = 400_000
"""In the store and in the database."""


def pair_key(pair: Pair, photos: Mapping[str, Photo]) -> Key:
    """Identity of a pair's result: the content of its photos."""
    return photos[pair.a].sha256, photos[pair.b].sha256


def infer_pairs(
    pairs: Sequence[Pair],
    inference: PairInference,
    store: PairStore,
    photos: Mapping[str, Photo],
    progress: Progress,
) -> dict[Pair, PairResult]:
    """Results of all pairs, from the store or from the network; their depth stays in the store.

    Failed pairs are marked, and in no store. New results are stored at least every 64 pairs.
    """
    budget = _DepthBudget(inference.config, store, photos)
    todo = [pair for pair in pairs if pair_key(pair, photos) not in store]
    fresh: dict[Key, PairResult] = {}
    failed: dict[Key, PairResult] = {}
    last_flush = time.monotonic()
    with progress.task("match", len(todo), unit="pairs") as task:
        try:
            for pair, result in inference.run(todo, budget.wants):
                (failed if result.failed else fresh)[pair_key(pair, photos)] = result
                task.advance(1)
                if len(fresh) >= _MAX_PAIRS_A_FLUSH or time.monotonic() - last_flush > _MAX_SECONDS_A_FLUSH:
                    _flush(store, fresh)
                    last_flush = time.monotonic()
        finally:  # Ctrl-C loses no finished pair
            _flush(store, fresh)
    keys = {pair: pair_key(pair, photos) for pair in pairs}
    return {
        pair: _without_depth(store.get(key)) if key in store else failed[key] for pair, key in keys.items()
    }


def refusals(pairs: Iterable[Pair], store: PairStore, photos: Mapping[str, Photo]) -> dict[Pair, str]:
    """Why pairs have no matches, of those that were inferred, now or in an earlier run, and have none."""
    known = (pair for pair in pairs if pair.a in photos and pair.b in photos)
    return {pair: why for pair in known if (why := store.why(pair_key(pair, photos)))}


def _without_depth(result: PairResult) -> PairResult:
    """What keypoints are made of; the depth of all pairs together would fill the memory."""
    return replace(result, depth_a=None, depth_b=None)


def _flush(store: PairStore, fresh: dict[Key, PairResult]) -> None:
    if not fresh:
        return
    store.folder.mkdir(parents=True, exist_ok=True)
    require_space(store.folder, len(fresh) * _BYTES_PER_PAIR)
    store.add(fresh)
    fresh.clear()


class _DepthBudget:
    """Which photos still want depth: each from its first few kept pairs, counting those of earlier runs."""

    def __init__(self, config: Mast3rConfig, store: PairStore, photos: Mapping[str, Photo]) -> None:
        self._limit = {"never": 0, "few": config.depth_pairs_per_photo, "all": None}[config.depth]
        contents = {photo.sha256: photo.name for photo in photos.values()}
        self._count = Counter(contents[content] for content in store.depth_contents() if content in contents)
        self._promised: set[tuple[Pair, str]] = set()

    def wants(self, pair: Pair, name: str) -> bool:
        """Counted when promised, not when delivered: pairs of one batch are asked for together."""
        if (pair, name) in self._promised:
            return True
        if self._limit is not None and self._count[name] >= self._limit:
            return False
        self._promised.add((pair, name))
        self._count[name] += 1
        return True
