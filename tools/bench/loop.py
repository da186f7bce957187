"""The closed loop beside fixed scene graphs: what each registers, how exactly, and with how many pairs.

    python tools/bench/loop.py kitchen25 lund_street --seeds 3 --out out/loop.json
    python tools/bench/loop.py SCENES/bridge --graphs exhaustive,knn-10,loop

Our registrar maps every graph. Photos are described once and each pair is matched once, by whichever graph
asks for it first; describing is left out. Seconds are CPU seconds of all threads: `match` is the number of
pairs times the mean of a sample, with guided pairs at what they really took; `register` includes the loop's
own decisions. Runs are kept, with the seconds that they took when they were made, and repeated when the
source that they depend on changes.

Agreement is the share of the photos of a reference model whose poses lie within 1 % of its extent and 1
degree after a similarity fit; the reference is the medoid of exhaustive models of `--references` seeds, and
how well these agree with it is printed first. A graph is one of

    exhaustive     every pair
    knn-K          each photo with its K most similar ones by retrieval
    anchors-A-K    A farthest-point key photos joined with each other, each photo with its nearest key photo
                   and its K most similar ones: MASt3R-SfM's retrieval-A-K
    loop           the first graph of `sfm run`, then its closed loop; small collections are not matched
                   exhaustively
"""

import argparse
import sys
import zlib  # noqa: F401 - libz must come before pycolmap, as in `sfm`
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import pycolmap
from engines.graph_runs import graph_run
from engines.matched_store import MatchedStore, open_store
from harness.arguments import count
from harness.paths import CACHE
from harness.result_file import write_results
from metrics.mapper_scores import agreement
from metrics.reference_model import Reference, medoid
from photo_sets.sets import PhotoSet, find_sets, set_parser

from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.evaluation import load_ground_truth
from sfm.evaluation.evaluate import evaluate_poses

GRAPHS = ("exhaustive", "knn-5", "knn-10", "knn-20", "anchors-20-10", "loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one graph on one set; None where there is nothing to compare with."""

    set: str
    graph: str
    seed: int | None
    photos: int
    registered: int
    models: tuple[int, ...]
    auc1: float | None
    auc5: float | None
    agreement: float | None
    """With the reference, per cent."""
    pairs: int
    guided: int
    """Of the pairs."""
    pairs_per_photo: float
    share: float
    """Of all pairs, per cent."""
    verified: int
    num_rounds: int
    match_s: float
    register_s: float
    total_s: float
    """Both together, CPU seconds."""
    register_wall_s: float
    rounds: tuple[Mapping[str, object], ...] = ()


def main() -> None:
    """Measure, print a line a row, then medians, then write JSON."""
    options = _parse()
    pycolmap.logging.minloglevel = 2
    rows: list[Row] = []
    for photo_set in find_sets(options.sets, options):
        for row in _set_rows(photo_set, options):
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
            if options.out:
                write_results(
                    options.out,
                    rows,
                    medians(rows),
                    bench="loop",
                    threads=options.threads,
                    options=options.option,
                )
    print(_HEAD)
    print("\n".join(_line(row) for row in medians(rows)))


def _set_rows(photo_set: PhotoSet, options: argparse.Namespace) -> Iterator[Row]:
    config = load_config(overrides=options.option)
    # one seed for matches, so that all seeds of the registrar share them
    with open_store(photo_set, options.cache, with_seed(config, 0), threads=options.threads) as store:
        reference = _reference(store, config, options)
        if reference:
            seeds = " ".join(f"{value:.0f}" for value in reference.between_seeds)
            print(
                f"{photo_set.name}: exhaustive models of {options.references} seeds agree with that of seed "
                f"{reference.seed}: {seeds} %",
                flush=True,
            )
        for seed in range(options.seeds):
            for graph in options.graphs:
                yield _row(graph, photo_set, store, with_seed(config, seed), options.threads, reference)


def with_seed(config: Config, seed: int) -> Config:
    """The configuration with another seed."""
    return replace(config, run=replace(config.run, seed=seed))


def _reference(store: MatchedStore, config: Config, options: argparse.Namespace) -> Reference | None:
    seeds = range(options.references)
    runs = [graph_run("exhaustive", store, with_seed(config, seed), options.threads) for seed in seeds]
    return medoid([run.models[0] if run.models else {} for run in runs]) if runs else None


def _row(
    graph: str,
    photo_set: PhotoSet,
    store: MatchedStore,
    config: Config,
    threads: int,
    reference: Reference | None,
) -> Row:
    run = graph_run(graph, store, config, threads)
    count = len(store.names)
    score = None
    if photo_set.truth:
        score = evaluate_poses(list(run.models), load_ground_truth(photo_set.truth)).overall
    largest = run.models[0] if run.models else {}
    match_s = (run.pairs - run.guided) * store.seconds_per_pair + run.guided_s
    return Row(
        set=photo_set.name,
        graph=graph,
        seed=config.run.seed,
        photos=count,
        registered=len(set().union(*run.models)),
        models=tuple(len(poses) for poses in run.models),
        auc1=score.auc[1] if score else None,
        auc5=score.auc[5] if score else None,
        agreement=agreement(reference.poses, largest) if reference else None,
        pairs=run.pairs,
        guided=run.guided,
        pairs_per_photo=round(run.pairs / count, 2),
        share=round(100 * run.pairs / (count * (count - 1) / 2), 1),
        verified=run.verified,
        num_rounds=len(run.rounds),
        match_s=round(match_s, 1),
        register_s=run.register_s,
        total_s=round(match_s + run.register_s, 1),
        register_wall_s=run.register_wall_s,
        rounds=run.rounds,
    )


def medians(rows: Sequence[Row]) -> list[Row]:
    """One row a set and graph: the run whose registered count and agreement are in the middle of the seeds,
    with medians of the numbers that vary."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.graph), []).append(row)
    result = []
    for group in groups.values():
        middle = sorted(group, key=lambda r: (r.registered, r.agreement or 0.0))[(len(group) - 1) // 2]
        figures = {
            field: median(values)
            for field in _VARYING
            if None not in (values := [getattr(row, field) for row in group])
        }
        result.append(replace(middle, seed=None, rounds=(), **figures))
    return result


_VARYING = (
    "auc1",
    "auc5",
    "agreement",
    "pairs",
    "guided",
    "pairs_per_photo",
    "share",
    "num_rounds",
    "match_s",
    "register_s",
    "total_s",
    "register_wall_s",
)

_HEAD = (
    "set               graph          seed  reg/N     models      AUC@1  AUC@5  agree  pairs (guided)  /photo"
    "  share  rounds   CPU s: match  register     total"
)


def _line(row: Row) -> str:
    def number(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.1f}"

    models = "+".join(map(str, row.models)) or "none"
    seed = "med" if row.seed is None else str(row.seed)
    return (
        f"{row.set:17} {row.graph:14} {seed:4} {row.registered:4}/{row.photos:<4} {models:11} "
        f"{number(row.auc1)}  {number(row.auc5)}  {number(row.agreement)} {row.pairs:6.0f} "
        f"{f'({row.guided:.0f})':>8}  {row.pairs_per_photo:6.1f}  {row.share:5.1f}  {row.num_rounds:6.0f}  "
        f"{row.match_s:13.1f}  {row.register_s:8.1f}  {row.total_s:8.1f}"
    )


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__, cache=CACHE / "loop")
    parser.add_argument("--graphs", type=lambda text: tuple(text.split(",")), default=GRAPHS)
    parser.add_argument("--seeds", type=count, default=3)
    parser.add_argument(
        "--references", type=int, default=5, help="exhaustive models for the reference; 0: no agreement"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
