"""The closed loop beside fixed scene graphs: what each registers, how exactly, and with how many pairs.

    python tools/bench/loop.py kitchen25 lund_street --seeds 3 --out loop.json
    python tools/bench/loop.py SCENES/bridge --graphs exhaustive,knn-10,loop

Our registrar maps every graph. Photos are described once and each pair is matched once, by whichever graph
asks for it first; `match s` is the number of pairs times the mean seconds of a pair. Agreement is the share
of the photos of the exhaustive graph's largest model (same seed) whose poses lie within 1 % of its extent and
1 degree after a similarity fit. A graph is one of

    exhaustive     every pair
    knn-K          each photo with its K most similar ones by retrieval
    anchors-A-K    A farthest-point key photos joined with each other, each photo with its nearest key photo
                   and its K most similar ones: MASt3R-SfM's retrieval-A-K
    loop           the first graph of `sfm run`, then its closed loop; small collections are not matched
                   exhaustively
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
import pycolmap
from matched_store import MatchedStore, open_store
from photo_sets import PhotoSet, find_set, set_parser

from retrieval import Edge, Pair, Reason, SceneGraph
from retrieval.mast3r_sfm_graph import retrieval_graph
from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.evaluation import load_ground_truth
from sfm.evaluation.alignment import centres, extent, fit_similarity_robustly
from sfm.evaluation.comparison import registered_poses
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.model_poses import Poses
from sfm.events import EventLog
from sfm.look_alikes import read_suspects
from sfm.loop import LoopResult, Rank, run_closed_loop
from sfm.mapping import ViewGraph, reconstruct
from sfm.pair_proposal import propose_pairs
from sfm.progress import SilentProgress

GRAPHS = ("exhaustive", "knn-5", "knn-10", "knn-20", "anchors-20-10", "loop")
_CENTRE_TOLERANCE = 0.01
_ROTATION_TOLERANCE_DEG = 1.0


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
    """With the exhaustive graph's model of the same seed, per cent."""
    pairs: int
    pairs_per_photo: float
    share: float
    """Of all pairs, per cent."""
    verified: int
    describe_s: float
    match_s: float
    register_s: float
    """The loop's own time included."""
    rounds: tuple[Mapping[str, object], ...] = ()


def main() -> None:
    """Measure, print a line a row, then medians, then write JSON."""
    options = _parse()
    rows: list[Row] = []
    for name in options.sets:
        for row in _set_rows(find_set(name, options.data), options):
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
            if options.out:
                _write(options.out, rows, options)
    print(_HEAD)
    print("\n".join(_line(row) for row in medians(rows)))


def _set_rows(photo_set: PhotoSet, options: argparse.Namespace) -> Iterator[Row]:
    for seed in range(options.seeds):
        config = load_config(overrides=[*options.option, f"run.seed={seed}"])
        # one seed for matches, so that all seeds of the registrar share them
        matching = replace(config, run=replace(config.run, seed=0))
        with open_store(photo_set, options.cache, matching, threads=options.threads) as store:
            reference: Poses | None = None
            for graph in options.graphs:
                row, poses = _measure(graph, photo_set, store, config, options.threads)
                if graph == "exhaustive":
                    reference = poses
                yield replace(row, agreement=agreement(reference, poses) if reference else None)


def _measure(
    graph: str, photo_set: PhotoSet, store: MatchedStore, config: Config, threads: int
) -> tuple[Row, Poses]:
    """Map one graph; its row and the poses of its largest model."""
    folder = store.workspace.cache / "experiments" / f"{graph}-{config.run.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    pycolmap.set_random_seed(config.run.seed)
    started = time.monotonic()
    loop = mapped(graph, store, folder, config, threads)
    seconds = time.monotonic() - started
    count, pairs = len(store.names), len(loop.scene_graph)
    poses = [registered_poses(model) for model in loop.models]
    score = None
    if photo_set.truth:
        score = evaluate_poses(poses, load_ground_truth(photo_set.truth)).overall
    row = Row(
        set=photo_set.name,
        graph=graph,
        seed=config.run.seed,
        photos=count,
        registered=len(set().union(*poses)),
        models=tuple(len(p) for p in poses),
        auc1=score.auc[1] if score else None,
        auc5=score.auc[5] if score else None,
        agreement=None,
        pairs=pairs,
        pairs_per_photo=round(pairs / count, 2),
        share=round(100 * pairs / (count * (count - 1) / 2), 1),
        verified=len(loop.view_graph),
        describe_s=round(store.describe_s, 1),
        match_s=round(pairs * store.seconds_per_pair, 1),
        register_s=round(seconds, 1),
        rounds=tuple(asdict(r) for r in loop.rounds),
    )
    return row, poses[0] if poses else {}


def mapped(graph: str, store: MatchedStore, folder: Path, config: Config, threads: int) -> LoopResult:
    """The models of a graph; only `loop` has rounds."""
    register = config.register if graph == "loop" else replace(config.register, max_rounds=0)
    retrieval = replace(config.retrieval.before_loop(), exhaustive_max_photos=0)
    events = EventLog(folder / "events.jsonl")
    first, rank = propose_pairs(
        store.collection,
        store.database,
        cache_dir=store.workspace.cache,
        backend=store.backend,
        config=retrieval,
        seed=config.run.seed,
        events=events,
    )
    if graph != "loop":
        first = SceneGraph(store.names, fixed_graph(graph, store.names, rank, seed=config.run.seed))
    database = store.new_database(folder / "database.db")
    store.give(first.edges, database)
    return run_closed_loop(
        first,
        folder=folder / f"rounds-{time.time_ns()}",
        reconstruct=lambda start, log: reconstruct(
            database.path,
            config=register,
            refine=config.refine,
            fixed_cameras=store.collection.fixed_cameras,
            threads=threads,
            seed=config.run.seed,
            events=log,
            progress=SilentProgress(),
            start=start,
        ),
        match=lambda edges, guides: store.give(edges, database, guides),
        read_view_graph=lambda: ViewGraph.read(database.path),
        read_suspects=lambda tried: read_suspects(database.path, tried),
        rank=rank,
        config=register,
        events=events,
    )


def fixed_graph(text: str, names: Sequence[str], rank: Rank, *, seed: int) -> Mapping[Pair, Edge]:
    """The pairs of a graph that is chosen once."""
    kind, *numbers = text.split("-")
    if kind == "exhaustive":
        return {Pair.of(a, b): Edge(0.0, Reason.EXHAUSTIVE) for a, b in combinations(names, 2)}
    if kind == "knn":
        (count,) = map(int, numbers)
        return {
            Pair.of(name, other): Edge(score, Reason.KNN)
            for name in names
            for other, score in rank(name, count)
        }
    if kind != "anchors":
        raise SystemExit(f"no such graph: {text}")
    anchors, neighbours = map(int, numbers)
    place = {name: i for i, name in enumerate(names)}
    similarity = np.eye(len(names))
    for name in names:
        for other, score in rank(name, len(names)):
            similarity[place[name], place[other]] = score
    # in MASt3R-SfM a photo is its own first neighbour
    return retrieval_graph(similarity, anchors, neighbours + 1, seed=seed).edges(names, similarity)


def agreement(reference: Poses, poses: Poses) -> float:
    """Share of the photos of `reference` whose poses agree after a similarity fit, per cent."""
    common = sorted(reference.keys() & poses.keys())
    if not reference:
        return 100.0
    target, source = centres(reference, common), centres(poses, common)
    fit = fit_similarity_robustly(source, target)
    if fit is None:
        return 0.0
    size = extent(centres(reference, sorted(reference)))
    near = np.linalg.norm(fit.apply(source) - target, axis=1) <= _CENTRE_TOLERANCE * size
    turn = pycolmap.Rotation3d(fit.rotation)
    angles = [
        np.degrees((reference[n].rotation * turn * poses[n].rotation.inverse()).angle()) for n in common
    ]
    right = near & (np.array(angles) <= _ROTATION_TOLERANCE_DEG)
    return round(100 * float(right.sum()) / len(reference), 1)


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
            for field in ("auc1", "auc5", "agreement", "pairs", "pairs_per_photo", "share", "register_s")
            if None not in (values := [getattr(row, field) for row in group])
        }
        result.append(replace(middle, seed=None, rounds=(), **figures))
    return result


_HEAD = (
    "set               graph          seed  reg/N     models      AUC@1  AUC@5  agree  pairs  /photo  share"
    "  match s  register s"
)


def _line(row: Row) -> str:
    def number(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.1f}"

    models = "+".join(map(str, row.models)) or "none"
    seed = "med" if row.seed is None else str(row.seed)
    return (
        f"{row.set:17} {row.graph:14} {seed:4} {row.registered:4}/{row.photos:<4} {models:11} "
        f"{number(row.auc1)}  {number(row.auc5)}  {number(row.agreement)} {row.pairs:6.0f}  "
        f"{row.pairs_per_photo:5.1f}  {row.share:5.1f}  {row.match_s:7.1f}  {row.register_s:8.1f}"
    )


def _write(path: Path, rows: Sequence[Row], options: argparse.Namespace) -> None:
    content = {
        "pycolmap": pycolmap.__version__,
        "threads": options.threads,
        "options": list(options.option),
        "rows": [asdict(row) for row in rows],
        "medians": [asdict(row) for row in medians(rows)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__, "loop")
    parser.add_argument("--graphs", type=lambda text: tuple(text.split(",")), default=GRAPHS)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
