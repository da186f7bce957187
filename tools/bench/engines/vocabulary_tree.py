"""COLMAP's vocabulary tree, trained on the photos that it then ranks: the peer of our retrieval.

`pycolmap.VisualIndex.query` gives its results to a list that Python never sees, so the order of the hits is
read from the pairs that `VocabTreePairGenerator` proposes, which come photo by photo, best first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from studies.retrieval_truth import Truth

_ITERATIONS = 12
"""Of k-means, in one round; COLMAP's 3 rounds of 100 take 25 times as long. On `kitchen25` with
1,024 words 100 iterations gave a recall of 87, 91 and 95 % (k = 5, 10, 20) where 12 gave 81, 92 and 95; two
trainings of the same tree differ by up to 3 points, since COLMAP's aren't seeded."""
_SAMPLE_PER_WORD = 64
_EMBEDDING_DIM = 64  # COLMAP's default for the Hamming embedding


def tree_ranking(num_words: int, threads: int, truth: Truth) -> NDArray[np.int64]:
    """Rank all photos for every photo; trees are kept beside the database.

    Returns:
        (N, N - 1) int64 positions of the other photos, best first.
    """
    path = truth.database.parent / f"tree-{num_words}.bin"
    if not path.is_file():
        made = path.with_suffix(".new")
        train_tree(np.concatenate(truth.sift), num_words, made, threads=threads)
        made.rename(path)
    return _ask(truth, path, threads)


def train_tree(sift: NDArray[np.uint8], num_words: int, path: Path, *, threads: int) -> None:
    """Write a tree of (n, 128) RootSIFT descriptors, trained on a sample of them."""
    rows = np.random.default_rng(0).permutation(len(sift))[: _SAMPLE_PER_WORD * num_words]
    options = pycolmap.VisualIndex.BuildOptions()
    options.num_visual_words = num_words
    options.num_iterations, options.num_rounds = _ITERATIONS, 1
    options.num_threads = threads
    index = pycolmap.VisualIndex.create(sift.shape[1], _EMBEDDING_DIM)
    sample = np.ascontiguousarray(sift[np.sort(rows)].astype(np.float32))
    index.build(options, pycolmap.FeatureDescriptorsFloat(pycolmap.FeatureExtractorType.SIFT, sample))
    index.write(path)


def _ask(truth: Truth, path: Path, threads: int) -> NDArray[np.int64]:
    count = len(truth.names)
    options = pycolmap.VocabTreePairingOptions()
    options.num_images = count + 1  # a photo finds itself first
    options.vocab_tree_path = path
    options.num_threads = threads
    hits: list[list[int]] = [[] for _ in truth.names]
    with pycolmap.Database.open(truth.database) as database:
        positions = {image.image_id: truth.names.index(image.name) for image in database.read_all_images()}
        generator = pycolmap.VocabTreePairGenerator(options, database)
        while not generator.has_finished():
            for asking, found in generator.next():
                hits[positions[asking]].append(positions[found])
    return np.stack([completed(found, i, count) for i, found in enumerate(hits)])


def completed(hits: list[int], asking: int, count: int) -> NDArray[np.int64]:
    """All others: those found, then the rest in their order."""
    ranked = dict.fromkeys([*hits, *range(count)])
    del ranked[asking]
    return np.array(list(ranked), np.int64)
