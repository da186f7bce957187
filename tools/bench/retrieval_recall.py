"""How well retrieval finds the photos that match, by the options that decide it.

    python tools/bench/retrieval_recall.py COLLECTION.db ... [--json OUT]

Each database holds SIFT features and an exhaustive match of one collection. The truth is its pairs with at
least 30 inliers. For each photo with a true partner, recall@k is the share of min(k, partners) found among
the first k hits; the figures are means over photos, then over collections.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval.codebook import Codebook, Descriptors, train_codebook
from retrieval.index import RetrievalIndex

MIN_INLIERS = 30
DEPTHS = (5, 10)


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of everything that was varied."""

    num_descriptors: int = 1000
    subset: Literal["largest", "random", "strided"] = "largest"
    words_per_root: float = 10.0
    """Codebook size over the square root of the number of descriptors."""
    multiple_assignment: int = 1
    binary: bool = True
    transform: Literal["", "rotated", "whitened"] = ""
    alpha: float = 3.0
    baseline: Literal["", "vlad"] = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """A collection: (n, 6) keypoints and (n, 128) uint8 SIFT of each photo, and which photos match."""

    name: str
    keypoints: dict[str, NDArray[np.float32]]
    sift: dict[str, NDArray[np.uint8]]
    matches: NDArray[np.bool_]


def read_truth(path: Path) -> Truth:
    """Features and verified pairs of a COLMAP database."""
    with pycolmap.Database.open(path) as database:
        images = sorted(database.read_all_images(), key=lambda image: image.name)
        rows = {image.image_id: i for i, image in enumerate(images)}
        matches = np.zeros((len(images), len(images)), bool)
        pair_ids, inliers = database.read_two_view_geometry_num_inliers()
        for pair_id, count in zip(pair_ids, inliers, strict=True):
            a, b = pycolmap.pair_id_to_image_pair(pair_id)
            matches[rows[a], rows[b]] = matches[rows[b], rows[a]] = count >= MIN_INLIERS
        keypoints = {image.name: database.read_keypoints(image.image_id) for image in images}
        sift = {image.name: database.read_descriptors(image.image_id).data for image in images}
    return Truth(path.stem, keypoints, sift, matches)


def describe(truth: Truth, trial: Trial) -> dict[str, Descriptors]:
    """The chosen subset of each photo's descriptors, at length one."""
    rng = np.random.default_rng(0)
    chosen: dict[str, Descriptors] = {}
    for name, sift in truth.sift.items():
        rows = _subset(truth.keypoints[name], trial, rng)
        array = sift[rows].astype(np.float32)  # RootSIFT already: pycolmap stores the square roots
        chosen[name] = np.ascontiguousarray(
            array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-6)
        )
    if trial.transform:
        matrix = _projection(np.concatenate(list(chosen.values())), trial.transform, rng)
        chosen = {name: np.ascontiguousarray(array @ matrix) for name, array in chosen.items()}
    return chosen


def _subset(keypoints: NDArray[np.float32], trial: Trial, rng: np.random.Generator) -> NDArray[np.int64]:
    count = min(trial.num_descriptors, len(keypoints))
    if trial.subset == "random":
        return rng.choice(len(keypoints), count, replace=False)
    if trial.subset == "strided":
        return np.linspace(0, len(keypoints) - 1, count).astype(np.int64)
    scale = np.abs(keypoints[:, 2] * keypoints[:, 5] - keypoints[:, 3] * keypoints[:, 4])
    return np.argsort(-scale, kind="stable")[:count]


def _projection(sample: Descriptors, kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random rotation, or PCA with components scaled to the fourth root of whitening's strength."""
    if kind == "rotated":
        return np.linalg.qr(rng.standard_normal((sample.shape[1],) * 2))[0].astype(np.float32)
    values, vectors = np.linalg.eigh(np.cov(sample.T.astype(np.float64)))
    return np.asarray(vectors * np.maximum(values, 1e-9) ** -0.25, np.float32)


def similarity(truth: Truth, trial: Trial) -> tuple[NDArray[np.float64], int]:
    """(N, N) scores, rows ask; and the number of words."""
    descriptors = describe(truth, trial)
    if trial.baseline == "vlad":
        return _vlad(descriptors), 64
    total = sum(map(len, descriptors.values()))
    size = int(trial.words_per_root * np.sqrt(total))
    codebook = train_codebook(descriptors.values(), size)
    index = RetrievalIndex.build(
        codebook, descriptors, multiple_assignment=trial.multiple_assignment, binary=trial.binary
    )
    index.options = replace(index.options, alpha=trial.alpha)
    return np.stack([index.scores(name) for name in index.names]), size


def _vlad(descriptors: dict[str, Descriptors]) -> NDArray[np.float64]:
    """Cosine of VLAD vectors: 64 words, residuals normalised per word, signed square root."""
    codebook = train_codebook(descriptors.values(), 64)
    vectors = np.stack([_vlad_vector(codebook, array) for array in descriptors.values()])
    return vectors @ vectors.T


def _vlad_vector(codebook: Codebook, array: Descriptors) -> NDArray[np.float64]:
    words = codebook.assign(array)[:, 0]
    sums = np.zeros(codebook.centroids.shape)
    np.add.at(sums, words, array - codebook.centroids[words])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9
    flat = (np.sign(sums) * np.sqrt(np.abs(sums))).ravel()
    return np.asarray(flat / (np.linalg.norm(flat) + 1e-9), np.float64)


def recall(scores: NDArray[np.float64], matches: NDArray[np.bool_], depth: int) -> float:
    """Mean share of min(depth, partners) found among the first `depth` hits."""
    masked = np.where(np.eye(len(scores), dtype=bool), -1.0, scores)
    best = np.argsort(-masked, axis=1, kind="stable")[:, :depth]
    found = np.take_along_axis(matches, best, axis=1).sum(axis=1)
    wanted = np.minimum(matches.sum(axis=1), depth)
    return float((found[wanted > 0] / wanted[wanted > 0]).mean())


def trials() -> Iterator[Trial]:
    """The default, and one change at a time."""
    base = Trial()
    yield base
    yield from (replace(base, words_per_root=w) for w in (5.0, 20.0))
    yield from (replace(base, num_descriptors=n) for n in (300, 600, 2000))
    yield from (replace(base, multiple_assignment=m) for m in (2, 5))
    yield from (replace(base, binary=False, multiple_assignment=m) for m in (1, 5))
    yield from (replace(base, transform=t) for t in ("rotated", "whitened"))
    yield from (replace(base, alpha=a) for a in (1.0, 2.0, 5.0))
    yield from (replace(base, subset=s) for s in ("random", "strided"))
    yield replace(base, baseline="vlad")


def main() -> None:
    """Run all trials on all databases and print a table, then one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("databases", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    truths = [read_truth(path) for path in arguments.databases]
    records = []
    for trial in trials():
        started = time.perf_counter()
        results = {truth.name: similarity(truth, trial) for truth in truths}
        per_set = {
            truth.name: [round(100 * recall(results[truth.name][0], truth.matches, k), 1) for k in DEPTHS]
            for truth in truths
        }
        mean = np.mean(list(per_set.values()), axis=0).round(1).tolist()
        seconds = round(time.perf_counter() - started, 1)
        records.append({"trial": asdict(trial), "recall": per_set, "mean": mean, "seconds": seconds})
        changed = {k: v for k, v in asdict(trial).items() if v != getattr(Trial(), k)}
        print(
            f"{mean[0]:5.1f} {mean[1]:5.1f} {seconds:6.1f} s  {changed or 'default'}  {per_set}", flush=True
        )
    line = json.dumps({"pycolmap": pycolmap.__version__, "depths": DEPTHS, "trials": records})
    if arguments.json:
        arguments.json.write_text(line + "\n", encoding="utf-8")
    print(line)


if __name__ == "__main__":
    main()
