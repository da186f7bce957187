"""How well retrieval finds the photos that match, against COLMAP's vocabulary tree, and by its options.

    python tools/bench/retrieval_recall.py --data FOLDER [--sets fox ...] [--k 5 10] [--options] [--json F]

For each photo with a true partner (`retrieval_truth.py` says what that is), recall@k is the share of
min(k, partners) found among its first k hits; the figures are means over photos, then over collections, in
percent. One SIFT setting serves all; with whole levels of the pyramid and second orientations 2,048 features
are about 3,200. A first run makes the databases and keeps them in --cache; a run that was stopped goes on
where it was, and later runs read them.

`--options` varies the options of ASMK and of the descriptors, one at a time, instead of the re-ranking.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache as cached
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pycolmap
from numpy.typing import NDArray
from photo_sets import find_set
from rerankings import RERANKINGS, Scores
from retrieval_truth import Sample, Truth, prepare_truth
from vocabulary_tree import tree_ranking

from retrieval import RetrievalConfig
from retrieval.codebook import Descriptors, train_codebook
from retrieval.index import RetrievalIndex
from sfm.config.schema import Config
from sfm.sift.features import largest_features

SETS = ("saharov32", "monstree", "kitchen25", "dup_cereal", "lund_street", "fox", "caliterra", "bonsai292")


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that is varied in how photos are described and compared."""

    num_descriptors: int = RetrievalConfig().num_descriptors
    subset: Literal["largest", "random"] = "largest"
    words_per_root: float = 10.0
    """Codebook size over the square root of the number of descriptors."""
    multiple_assignment: int = 1
    binary: bool = True
    alpha: float = 3.0


Method = Callable[[Truth], NDArray[np.int64]]
"""(N, N - 1) positions of all other photos, best first, for each photo."""


@dataclass(frozen=True, slots=True)
class Row:
    """Recall of one method on all sets."""

    method: str
    recall: dict[str, dict[int, float]]
    """In percent by collection and k."""
    seconds: dict[str, float]
    """By collection: codebook, index and scores where they are new, of re-ranking alone where not."""

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


@cached
def similarities(truth: Truth, setting: Setting) -> Scores:
    """(N, N) ASMK scores, rows ask."""
    rng = np.random.default_rng(0)
    described = {
        name: _described(keypoints, sift, setting, rng)
        for name, keypoints, sift in zip(truth.names, truth.keypoints, truth.sift, strict=True)
    }
    size = int(setting.words_per_root * np.sqrt(sum(map(len, described.values()))))
    index = RetrievalIndex.build(
        train_codebook(described.values(), size),
        described,
        multiple_assignment=setting.multiple_assignment,
        binary=setting.binary,
    )
    index.options = replace(index.options, alpha=setting.alpha)
    return np.stack([index.scores(name) for name in index.names])


def ranked(scores: Scores) -> NDArray[np.int64]:
    """(N, N - 1) positions of all others, best first, equal ones in their order."""
    count = len(scores)
    order = np.argsort(np.where(np.eye(count, dtype=bool), np.inf, -scores), axis=1, kind="stable")
    return order[:, : count - 1]


def _described(
    keypoints: NDArray[np.float32], sift: NDArray[np.uint8], setting: Setting, rng: np.random.Generator
) -> Descriptors:
    if setting.subset == "largest":
        return largest_features(keypoints, sift, setting.num_descriptors)
    rows = rng.permutation(len(sift))[: setting.num_descriptors]
    return largest_features(keypoints[rows], sift[rows], len(rows))


def option_settings() -> Iterator[Setting]:
    """The default, and one change at a time."""
    base = Setting()
    yield base
    yield from (replace(base, num_descriptors=n) for n in (600, 1500, 2000))
    yield replace(base, subset="random")
    yield from (replace(base, words_per_root=w) for w in (5.0, 20.0))
    yield from (replace(base, multiple_assignment=m) for m in (2, 5))
    yield from (replace(base, alpha=a) for a in (1.0, 2.0, 4.0))
    yield replace(base, binary=False)


def settings_methods() -> dict[str, Method]:
    """ASMK by its options, re-ranked as in the product."""
    base = asdict(Setting())
    methods: dict[str, Method] = {}
    for setting in option_settings():
        changed = [f"{key}={value}" for key, value in asdict(setting).items() if value != base[key]]
        methods[", ".join(changed) or "default"] = partial(_asmk, setting, RERANKINGS["query expansion"])
    return methods


def reranking_methods(tree_words: Sequence[int], threads: int) -> dict[str, Method]:
    """Vocabulary trees of several sizes, and ASMK with every re-ranking."""
    trees = {f"tree, {words} words": partial(tree_ranking, words, threads) for words in tree_words}
    ours = {f"ASMK, {name}": partial(_asmk, Setting(), rerank) for name, rerank in RERANKINGS.items()}
    return {**trees, **ours}


def _asmk(setting: Setting, rerank: Callable[[Scores], Scores], truth: Truth) -> NDArray[np.int64]:
    return ranked(rerank(similarities(truth, setting)))


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
    parser.add_argument("--options", action="store_true", help="vary ASMK's options, not the re-ranking")
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
    methods = (
        settings_methods() if options.options else reranking_methods(options.tree_words, options.threads)
    )
    for name, rank in methods.items():
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
