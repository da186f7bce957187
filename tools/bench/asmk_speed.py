"""Our ASMK engine against the `asmk` package: all images against all, best 50 each.

    python tools/bench/asmk_speed.py --images 1000 [--descriptors 100 --words 8192 --assignment 5]

Synthetic clustered descriptors, 128 dimensions, binary codes. The reference answers only the first
`--queries` images, and its time is scaled up; scores must agree within 1e-6 on those first. Both engines look
words up with the same exact faiss index; `times_faster` is of scoring alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from retrieval.codebook import Codebook, Descriptors
from retrieval.index import RetrievalIndex
from retrieval.reference import ReferenceIndex

TOP_K = 50
T = TypeVar("T")


def collection(images: int, descriptors: int, words: int) -> tuple[Codebook, dict[str, Descriptors]]:
    """Descriptors scattered round random centroids, some words far more frequent than others."""
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal((words, 128)).astype(np.float32)
    frequency = rng.gamma(1.0, 1.0, words)
    chosen = rng.choice(words, size=(images, descriptors), p=frequency / frequency.sum())
    noise = rng.standard_normal((images, descriptors, 128), dtype=np.float32)
    return Codebook(centroids), {f"{i:06d}": centroids[chosen[i]] + 0.7 * noise[i] for i in range(images)}


def main() -> None:
    """Measure both engines and print one JSON line."""
    parser = argparse.ArgumentParser(description="Speed of ASMK scoring against the asmk package.")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--descriptors", type=int, default=100)
    parser.add_argument("--words", type=int, default=8192)
    parser.add_argument("--assignment", type=int, default=5)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    codebook, images = collection(arguments.images, arguments.descriptors, arguments.words)
    ours, build_seconds = _timed(
        lambda: RetrievalIndex.build(codebook, images, multiple_assignment=arguments.assignment)
    )
    theirs, their_build_seconds = _timed(
        lambda: ReferenceIndex.build(codebook, images, multiple_assignment=arguments.assignment)
    )
    asked = list(images)[: arguments.queries]
    rows, their_seconds = _timed(lambda: np.stack([theirs.scores(name) for name in asked]))
    _, lookup_seconds = _timed(
        lambda: [codebook.assign(images[name], arguments.assignment) for name in asked]
    )
    difference = float(np.abs(rows - np.stack([ours.scores(name) for name in asked])).max())
    if difference > 1e-6:
        raise SystemExit(f"scores differ by {difference}: no speed is stated")
    _, seconds = _timed(lambda: ours.all_neighbours(TOP_K, threads=arguments.threads))
    scale = len(images) / len(asked)
    scoring = (their_seconds - lookup_seconds) * scale  # ours looks words up once, when images are added
    record = {
        **vars(arguments),
        "max_difference": difference,
        "build_seconds": round(build_seconds, 2),
        "asmk_build_seconds": round(their_build_seconds, 2),
        "all_against_all_seconds": round(seconds, 2),
        "asmk_all_against_all_seconds": round(scoring, 1),
        "asmk_word_lookup_seconds": round(lookup_seconds * scale, 1),
        "times_faster": round(scoring / seconds, 1),
        "times_faster_end_to_end": round(
            (their_build_seconds + their_seconds * scale) / (build_seconds + seconds), 1
        ),
    }
    print(json.dumps(record))


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
