"""How well retrieval finds the photos that match, against COLMAP's vocabulary tree.

    python tools/bench studies.retrieval_recall --data FOLDER [--sets fox ...] [--k 5 10] [--json F]

For each photo with a true partner (`retrieval_truth.py` says what that is), recall@k is the share of
min(k, partners) found among its first k hits; the figures are means over photos, then over collections, in
percent. One SIFT setting serves all; with whole levels of the pyramid and second orientations 2,048 features
are about 3,200. A first run makes the databases and keeps them in --cache; a run that was stopped goes on
where it was, and later runs read them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache as cached
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from engines.vocabulary_tree import train_tree
from numpy.typing import NDArray
from photo_sets.sets import find_set

from retrieval import RetrievalConfig
from retrieval.codebook import train_codebook
from retrieval.hits import Neighbours
from retrieval.index import RetrievalIndex
from retrieval.query_expansion import neighbours_expanded
from sfm.config.schema import Config
from sfm.matching.sift.features import largest_features
from studies.retrieval_truth import Sample, Truth, prepare_truth

SETS = ("saharov32", "monstree", "kitchen25", "dup_cereal", "lund_street", "fox", "caliterra", "bonsai292")


Method = Callable[[Truth], NDArray[np.int64]]
"""(N, N - 1) positions of all other photos, best first, for each photo."""


@dataclass(frozen=True, slots=True)
class Row:
    """Recall of one method on all sets."""

    method: str
    recall: dict[str, dict[int, float]]
    """In percent by collection and k."""
    seconds: dict[str, float]
    """By collection: codebook and index where they are new, and ranking."""

    def mean(self, k: int) -> float:
        """Over collections."""
        return float(np.mean([found[k] for found in self.recall.values()]))


def recall(ranking: NDArray[np.int64], truth: Truth, k: int) -> float:
    """Mean share of min(k, partners) found among the first k hits, of the photos that ask and have partners.

    Args:
        ranking: (N, M) positions, best first, for each photo; its own position is not among them.
        truth: which pairs are true.
        k: hits that count.
    """
    partners = truth.partners[truth.asked]
    wanted = np.minimum(partners.sum(axis=1), k)
    found = np.take_along_axis(partners, ranking[truth.asked, :k], axis=1).sum(axis=1)
    return float((found[wanted > 0] / wanted[wanted > 0]).mean())


def methods(tree_words: Sequence[int], threads: int) -> dict[str, Method]:
    """Vocabulary trees of several sizes, and ASMK as the index ranks and as the product does."""
    trees = {f"tree, {words} words": partial(tree_ranking, words, threads) for words in tree_words}
    return {**trees, "ASMK": _plain, "ASMK, query expansion": _expanded}


def ranked(found: Neighbours) -> NDArray[np.int64]:
    """(N, N - 1) positions of all others, best first; those not found come last, in their order."""
    rows = enumerate(found.ids)
    return np.stack(
        [completed([hit for hit in ids.tolist() if hit >= 0], i, len(found.ids)) for i, ids in rows]
    )


def _plain(truth: Truth) -> NDArray[np.int64]:
    return ranked(_index(truth).all_neighbours(len(truth.names) - 1))


def _expanded(truth: Truth) -> NDArray[np.int64]:
    return ranked(neighbours_expanded(_index(truth), len(truth.names) - 1))


@cached
def _index(truth: Truth) -> RetrievalIndex:
    """As the product makes it of SIFT."""
    described = {
        name: largest_features(keypoints, sift, RetrievalConfig().num_descriptors)
        for name, keypoints, sift in zip(truth.names, truth.keypoints, truth.sift, strict=True)
    }
    return RetrievalIndex.build(train_codebook(described.values()), described)


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


def _ask(truth: Truth, path: Path, threads: int) -> NDArray[np.int64]:
    """The order of the hits, from the pairs that the generator proposes: photo by photo, best first.

    `pycolmap.VisualIndex.query` gives its results to a list that Python never sees.
    """
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


def measure(method: str, rank: Method, truths: Sequence[Truth], depths: Sequence[int]) -> Row:
    """Recall and seconds of one method on all collections."""
    found, seconds = {}, {}
    for truth in truths:
        started = time.perf_counter()
        ranking = rank(truth)
        seconds[truth.name] = time.perf_counter() - started
        found[truth.name] = {k: 100 * recall(ranking, truth, k) for k in depths}
    return Row(method, found, seconds)


def header(truths: Sequence[Truth], depths: Sequence[int]) -> str:
    """The first two lines of the table: collections, and how many photos ask."""
    depth = "/".join(map(str, depths))
    names = "  ".join(f"{truth.name:>14s}" for truth in truths)
    asking = "  ".join(f"{len(truth.asked)} of {len(truth.names)}".rjust(14) for truth in truths)
    return f"{'recall@' + depth:36s}{'mean':>14s}  {names}\n{'photos asking':36s}{'':14s}  {asking}"


def line(row: Row, depths: Sequence[int]) -> str:
    """A row of the table."""
    means = "/".join(f"{row.mean(k):.1f}" for k in depths)
    cells = ["/".join(f"{found[k]:.0f}" for k in depths).rjust(14) for found in row.recall.values()]
    return f"{row.method:36s}{means:>14s}  {'  '.join(cells)}  {sum(row.seconds.values()):8.1f} s"


def main() -> None:
    """Measure all methods on all collections; print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=SETS, help="names of folders in --data")
    parser.add_argument("--data", type=Path, required=True, help="folder of the photo sets")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/loopsfm-bench/retrieval"))
    parser.add_argument("--features", type=int, default=2048, help="SIFT features a photo, about")
    parser.add_argument("--k", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--sample", type=int, default=24, help="photos that ask, in large sets")
    parser.add_argument("--all-up-to", type=int, default=100, help="size of the sets whose photos all ask")
    parser.add_argument("--tree-words", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    config = Config()
    config = replace(config, sift=replace(config.sift, max_num_features=options.features))
    cache = options.cache.expanduser() / f"sift-{options.features}"
    sample = Sample(options.sample, options.all_up_to)
    truths = [
        prepare_truth(find_set(name, options.data), cache, config, sample=sample, threads=options.threads)
        for name in options.sets
    ]
    print(header(truths, options.k), flush=True)
    rows = []
    for name, rank in methods(options.tree_words, options.threads).items():
        rows.append(measure(name, rank, truths, options.k))
        print(line(rows[-1], options.k), flush=True)
    report = json.dumps(
        {
            "pycolmap": pycolmap.__version__,
            "k": options.k,
            "sets": {
                truth.name: {
                    "photos": len(truth.names),
                    "asking": len(truth.asked),
                    "partners": float(truth.partners[truth.asked].sum(axis=1).mean()),
                    "features": float(np.mean([len(sift) for sift in truth.sift])),
                }
                for truth in truths
            },
            "rows": [{**asdict(row), "mean": {k: round(row.mean(k), 2) for k in options.k}} for row in rows],
        }
    )
    if options.json:
        options.json.write_text(report + "\n", encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
