"""Our ASMK engine against the `asmk` package: index build, all images against all (best 50), and memory.

    python tools/bench/asmk_speed.py                  # 1,000, 5,000 and 10,000 images, binary and float
    python tools/bench/asmk_speed.py --large 100000   # ours alone: size and time, in about 6 GB

One JSON line a size and kind, and a last one with the growth of the time a query and what follows for 100,000
images. Each engine runs in a process of its own, one after the other. Looking words up is faiss in both and
left out of all times: both are handed the words that the descriptors were made from. The package answers only
the first images, and its time is scaled up; the scores of those must agree within 1e-6, else no figure is
printed.

Memory is what a process takes at most above what it held when the libraries were loaded and the descriptors
made (`descriptors_mb`); `peak_mb` is the whole process, with both.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from kernels.dispatch import use_backend
from retrieval.codebook import Codebook, codebook_size
from retrieval.index import RetrievalIndex

TOP_K, DIM = 50, 128
SIZES = (1000, 5000, 10000)
SAMPLE = {1000: 500, 5000: 200, 10000: 100}
"""Queries that the package answers."""
TOLERANCE = 1e-6
COMPARED = 50
"""Queries whose scores must agree."""
PART = 5000
FIRST_ROWS = 8192
BLOCK = 8192
T = TypeVar("T")


class KnownWords:
    """In the place of the faiss index of the words: hands out words that are known, row after row.

    faiss works through large calls in blocks; it looks the first rows up all the same: its memory counts.
    """

    def __init__(self, centroids: NDArray[np.float32], words: NDArray[np.int64]) -> None:
        self.words, self.done, self.seconds = words[:, None], 0, 0.0
        self.index = faiss.IndexFlatL2(centroids.shape[1])
        self.index.add(centroids)

    def search(
        self, vectors: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Distances, which nobody reads, and the words of the next rows."""
        started = time.perf_counter()
        if self.done < FIRST_ROWS:
            self.index.search(vectors[:FIRST_ROWS], count)
        words = self.words[self.done : self.done + len(vectors)].copy()
        self.done += len(vectors)
        self.seconds += time.perf_counter() - started
        return np.zeros(words.shape, np.float32), words


class Descriptors:
    """Made-up descriptors with the statistics that SIFT has.

    Measured on 106 photos of four sets with 1,000 RootSIFT descriptors each and 868 words (122 codes a word):
    words differ little in how many images they hit (sum of squares 1.14 times that of equal ones), and the
    similarity of two images' codes under the same word has a standard deviation of 0.18, with 1 % above 0.6.
    Here: gamma-distributed frequencies (1.25 times), residuals of about 30 effective dimensions, and images
    along a path, of which neighbours see the same landmarks.
    """

    def __init__(self, descriptors: int, words: int) -> None:
        rng = np.random.default_rng(0)
        self.count = descriptors
        self.centroids = rng.standard_normal((words, DIM)).astype(np.float32)
        frequency = rng.gamma(4.0, 1.0, words)
        self.frequency = np.cumsum(frequency / frequency.sum())
        spread = np.exp(-np.arange(DIM) / 30.0)
        rotation, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
        self.shape = (3.5 * spread[:, None] / np.linalg.norm(spread) * rotation).astype(np.float32)

    def images(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Descriptors of images [start, stop), one after the other, and the word of each."""
        vectors = np.empty(((stop - start) * self.count, DIM), np.float32)
        words = np.empty(len(vectors), np.int64)
        for i in range(start, stop):
            rows = slice((i - start) * self.count, (i - start + 1) * self.count)
            self._image(i, vectors[rows], words[rows])
        for first in range(0, len(vectors), BLOCK):
            rows = slice(first, first + BLOCK)
            vectors[rows] = vectors[rows] @ self.shape
            vectors[rows] += self.centroids[words[rows]]
        return vectors, words

    def _image(self, image: int, vectors: NDArray[np.float32], words: NDArray[np.int64]) -> None:
        """Three fifths of what an image sees are landmarks of places nearby, the rest is its own."""
        own, shared = np.random.default_rng(2 * image), 3 * self.count // 5
        first = np.random.default_rng(2 * (image // 8) + 1)
        second = np.random.default_rng(2 * (image // 8 + 1) + 1)
        # along the eight images between two places, ever more is seen of the second
        later = shared * (image % 8) // 8
        chance = np.concatenate(
            [first.random(shared)[later:], second.random(shared)[:later], own.random(self.count - shared)]
        )
        words[:] = np.minimum(np.searchsorted(self.frequency, chance), len(self.centroids) - 1)
        own.standard_normal(out=vectors, dtype=np.float32)
        vectors[:shared] *= 0.31
        seen = first.standard_normal((shared, DIM), dtype=np.float32)[later:]
        vectors[: len(seen)] += 0.95 * seen
        vectors[len(seen) : shared] += 0.95 * second.standard_normal((shared, DIM), dtype=np.float32)[:later]


def main() -> None:
    """Measure both engines at each size and kind, or ours at one large size."""
    parser = argparse.ArgumentParser(description="Speed and memory of ASMK against the asmk package.")
    parser.add_argument("--images", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--kinds", nargs="+", choices=["binary", "float"], default=["binary", "float"])
    parser.add_argument("--descriptors", type=int, default=100)
    parser.add_argument("--words", type=int, default=8192)
    parser.add_argument("--large", type=int, help="this many images with 300 descriptors, ours alone")
    parser.add_argument("--engine", choices=["ours", "asmk"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.large:
        print(json.dumps(_measure_large(arguments.large, 300)))
    elif arguments.engine:
        measure = _measure_ours if arguments.engine == "ours" else _measure_theirs
        made = Descriptors(arguments.descriptors, arguments.words)
        print(
            json.dumps(measure(made, arguments.images[0], arguments.kinds[0] == "binary", arguments.folder))
        )
    else:
        made = Descriptors(arguments.descriptors, arguments.words)
        _check_words(made)
        lines = [line for size in arguments.images for line in _compare(size, made, arguments)]
        print(json.dumps(_scaling(lines)))


def _check_words(made: Descriptors) -> None:
    """The words that descriptors are made from are the nearest ones."""
    vectors, words = made.images(0, 20)
    if not np.array_equal(Codebook(made.centroids).assign(vectors)[:, 0], words):
        raise SystemExit("made-up descriptors lie nearer to other words than to their own")


def _compare(size: int, made: Descriptors, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Both engines on the same images, a line for each kind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors, words = made.images(0, size)
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "words.npy", words)
        del vectors
        for kind in arguments.kinds:
            ours, theirs = (
                _in_a_process(engine, size, kind, arguments, folder) for engine in ("ours", "asmk")
            )
            scores, expected = (np.load(folder / f"{engine}.npy") for engine in ("ours", "asmk"))
            difference = float(np.abs(scores - expected).max())
            if difference > TOLERANCE:
                raise SystemExit(f"scores differ by {difference}: no speed is stated")
            line = {
                "images": size,
                "kind": kind,
                "max_difference": difference,
                "build_times_faster": round(theirs["build_s"] / ours["build_s"], 1),
                "search_times_faster": round(theirs["search_s"] / ours["search_s"], 1),
                "memory_share": round(ours["above_mb"] / theirs["above_mb"], 2),
                "ours": ours,
                "asmk": theirs,
            }
            print(json.dumps(line), flush=True)
            yield line


def _in_a_process(
    engine: str, size: int, kind: str, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    shape = ["--descriptors", str(arguments.descriptors), "--words", str(arguments.words)]
    what = ["--engine", engine, "--images", str(size), "--kinds", kind, "--folder", str(folder)]
    done = subprocess.run(
        [sys.executable, __file__, *shape, *what], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _measure_ours(made: Descriptors, size: int, binary: bool, folder: Path) -> dict[str, Any]:
    _, start_s = _timed(lambda: _warm_up(binary))
    vectors, words = _loaded(folder)
    names = [f"{i:06d}.jpg" for i in range(size)]
    images = dict(zip(names, vectors.reshape(size, -1, DIM), strict=True))
    codebook = _with_words(Codebook(made.centroids), words)
    known: KnownWords = codebook._index
    before = _reset_peak()
    index, build_s = _timed(lambda: RetrievalIndex.build(codebook, images, binary=binary))
    build_s -= known.seconds
    neighbours, search_s = _timed(lambda: index.all_neighbours(TOP_K))
    peak = _memory("VmHWM")
    asked = names[:: max(1, size // 200)]
    _, query_s = _timed(lambda: [index.query(name, TOP_K) for name in asked])
    np.save(folder / "ours.npy", np.stack([index.scores(name) for name in names[:COMPARED]]))
    with tempfile.TemporaryDirectory() as saved:
        index.save(Path(saved))
        size_mb = sum(path.stat().st_size for path in Path(saved).iterdir()) / 1e6
        _, open_s = _timed(lambda: RetrievalIndex.load(Path(saved)))
    return {
        "build_s": round(build_s, 3),
        "search_s": round(search_s, 3),
        "query_ms": round(1e3 * query_s / len(asked), 3),
        "mean_hits": float((neighbours.ids >= 0).sum(1).mean()),
        "start_s": round(start_s, 2),
        "above_mb": round(peak - before, 1),
        "peak_mb": round(peak),
        "descriptors_mb": round(vectors.nbytes / 1e6),
        "disk_mb": round(size_mb, 1),
        "open_s": round(open_s, 4),
    }


def _measure_theirs(made: Descriptors, size: int, binary: bool, folder: Path) -> dict[str, Any]:
    from retrieval.reference import _method

    vectors, words = _loaded(folder)
    owners = np.repeat(np.arange(size), made.count)
    method = _method(Codebook(made.centroids), 1, binary)
    method.codebook.search_index = known = KnownWords(made.centroids, words)
    before = _reset_peak()

    def build() -> None:
        quantized = method.codebook.quantize(vectors, owners, multiple_assignment=1)
        method.inverted_file.add(*method.kernel.aggregate(*quantized))

    _, build_s = _timed(build)
    build_s -= known.seconds
    rows = SAMPLE.get(size, 100) * made.count
    owners = np.repeat(np.arange(size), made.count)
    known.done, known.seconds = 0, 0.0
    params = {**method.params["query_ivf"], "search": {"topk": TOP_K}}
    result, search_s = _timed(lambda: method.query_ivf(vectors[:rows], owners[:rows], step_params=params))
    search_s -= known.seconds
    peak = _memory("VmHWM")
    known.done = 0
    _, images, _, _ = result
    rows = COMPARED * made.count
    _, _, ranks, found = method.query_ivf(vectors[:rows], owners[:rows])
    in_order = np.zeros((len(ranks), size))
    np.put_along_axis(in_order, ranks, found, axis=1)
    np.save(folder / "asmk.npy", in_order)
    return {
        "build_s": round(build_s, 3),
        "search_s": round(search_s * size / len(images), 2),
        "queries": len(images),
        "above_mb": round(peak - before, 1),
        "peak_mb": round(peak),
    }


def _loaded(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return np.load(folder / "vectors.npy"), np.load(folder / "words.npy")


def _measure_large(size: int, descriptors: int) -> dict[str, Any]:
    """Our index of many images, added in parts, saved, opened, asked, and grown by ten images."""
    made = Descriptors(descriptors, codebook_size(size * descriptors))
    _warm_up(binary=True)
    codebook = Codebook(made.centroids)
    index = RetrievalIndex.build(codebook, {})
    build_s = 0.0
    for start in range(0, size, PART):
        stop = min(start + PART, size)
        vectors, words = made.images(start, stop)
        names = [f"{i:06d}.jpg" for i in range(start, stop)]
        _with_words(codebook, words)
        images = dict(zip(names, vectors.reshape(stop - start, -1, DIM), strict=True))
        build_s += _timed(partial(index.add, images))[1] - codebook._index.seconds
        print(f"{stop} images, {build_s:.0f} s", file=sys.stderr)
    del vectors, images
    with tempfile.TemporaryDirectory() as folder:
        _, save_s = _timed(partial(index.save, Path(folder)))
        disk_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        opened, open_s = _timed(lambda: RetrievalIndex.load(Path(folder)))
        del index
        before = _reset_peak()
        asked = opened.names[:: max(1, size // 500)]
        _, query_s = _timed(lambda: [opened.query(name, TOP_K) for name in asked])
        vectors, words = made.images(size, size + 10)
        _with_words(opened.codebook, words)
        ten = dict(zip([f"{size + i:06d}.jpg" for i in range(10)], vectors.reshape(10, -1, DIM), strict=True))
        _, add_s = _timed(lambda: opened.add(ten))
        _, save_again_s = _timed(lambda: opened.save(Path(folder)))
        grown_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6 - disk_mb
        above_mb = _memory("VmHWM") - before
    return {
        "images": size,
        "descriptors": descriptors,
        "words": len(codebook),
        "build_s": round(build_s, 1),
        "disk_mb": round(disk_mb),
        "save_s": round(save_s, 1),
        "open_s": round(open_s, 3),
        "query_ms": round(1e3 * query_s / len(asked), 2),
        "add_ten_s": round(add_s, 3),
        "save_ten_s": round(save_again_s, 3),
        "ten_mb": round(grown_mb, 2),
        "search_core_hours": round(query_s / len(asked) * size / 3600, 2),
        "above_mb": round(above_mb),
    }


def _scaling(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Exponent of the time a query in the number of images, and 100,000 images from the sizes measured."""
    result: dict[str, Any] = {}
    for kind in sorted({line["kind"] for line in lines}):
        ours = {line["images"]: line["ours"] for line in lines if line["kind"] == kind}
        sizes = sorted(ours)
        small, large = sizes[0], sizes[-1]
        each = [ours[size]["search_s"] / size for size in sizes]
        slope, base = np.polyfit(sizes, each, 1) if len(sizes) > 1 else (0.0, each[0])
        disk = ours[large]["disk_mb"] / ours[large]["descriptors_mb"]
        result[kind] = {
            "ms_a_query": [round(1e3 * seconds, 3) for seconds in each],
            "exponent": round(math.log(each[-1] / each[0]) / math.log(large / small), 2)
            if small < large
            else None,
            "projected_100000_search_s": round(1e5 * (base + slope * 1e5)),
            "projected_100000_x_300_disk_gb": round(disk * 1e5 * 300 * DIM * 4 / 1e9, 1),
        }
    return {"scaling": result}


def _warm_up(binary: bool) -> None:
    """Load what is loaded once a process."""
    few = np.random.default_rng(0).standard_normal((4, 50, DIM)).astype(np.float32)
    with use_backend("triton"):
        index = RetrievalIndex.build(Codebook(few[0]), dict(zip("abcd", few, strict=True)), binary=binary)
        index.all_neighbours(TOP_K)
        index.query("a", TOP_K)


def _with_words(codebook: Codebook, words: NDArray[np.int64]) -> Codebook:
    object.__setattr__(codebook, "_index", KnownWords(codebook.centroids, words))
    return codebook


def _reset_peak() -> float:
    """Forget the peak so far; what the process holds now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{field}:"))


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = action()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
