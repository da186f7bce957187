"""What choosing pairs saves: retrieval and the pairs that a run matched, beside matching all pairs.

    sfm run PHOTOS -o OUT
    python tools/bench/pair_savings.py bonsai292 --run OUT --sample 2000

All pairs are projected from random ones, the run's from a sample of its own (true partners take longer to
verify than photos that share nothing); batches of both take turns, so that a change of the machine's pace
strikes both alike. Retrieval is done anew, codebook and index included. Describing is left out: both need it.
Photos are described once and kept under --cache. Prints one JSON object.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from arguments import count
from clock import Clock
from engines import check_options
from matched_store import MatchedStore, open_store
from photo_sets import find_sets, set_parser
from result_file import provenance, write_results

from retrieval import Edge, Pair, Reason
from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.errors import InputError
from sfm.events import NullEvents
from sfm.pair_proposal import propose_pairs, stored_edges

_BATCH = 50


@dataclass(frozen=True, slots=True)
class Savings:
    """Seconds are wall clock unless they say CPU (of all threads)."""

    set: str
    photos: int
    all_pairs: int
    chosen_pairs: int
    sampled: tuple[int, int]
    """Pairs that were timed: random ones, and chosen ones."""
    retrieval_s: float
    retrieval_cpu_s: float
    pair_s: tuple[float, float]
    """Mean of a random pair and of a chosen one."""
    pair_cpu_s: tuple[float, float]
    times_faster: float
    """Matching all pairs over retrieval and matching the chosen ones."""
    times_faster_cpu: float


def savings(name: str, store: MatchedStore, chosen: Sequence[Pair], config: Config, sample: int) -> Savings:
    """Time retrieval, random pairs and chosen pairs of described photos."""
    names = store.names
    rng = np.random.default_rng(config.run.seed)
    every = [Pair.of(a, b) for a, b in combinations(names, 2)]
    retrieval, clocks = Clock(), (Clock(), Clock())
    with tempfile.TemporaryDirectory(dir=store.workspace.cache) as scratch:
        with retrieval:
            propose_pairs(
                store.collection,
                store.database,
                cache_dir=Path(scratch),
                backend=store.backend,
                config=replace(config.retrieval.before_loop(), exhaustive_max_photos=0),
                seed=config.run.seed,
                events=NullEvents(),
            )
        samples = [_drawn(pairs, sample, rng) for pairs in (every, chosen)]
        databases = [store.new_database(Path(scratch) / f"{kind}.db") for kind in ("random", "chosen")]
        for begin in range(0, max(map(len, samples)), _BATCH):
            for pairs, database, clock in zip(samples, databases, clocks, strict=True):
                edges = {pair: Edge(0.0, Reason.USER) for pair in pairs[begin : begin + _BATCH]}
                if edges:
                    with clock:
                        store.backend.match(edges, store.collection, database)
    wall = [clock.wall_s / len(pairs) for clock, pairs in zip(clocks, samples, strict=True)]
    cpu = [clock.cpu_s / len(pairs) for clock, pairs in zip(clocks, samples, strict=True)]
    return Savings(
        set=name,
        photos=len(names),
        all_pairs=len(every),
        chosen_pairs=len(chosen),
        sampled=(len(samples[0]), len(samples[1])),
        retrieval_s=round(retrieval.wall_s, 2),
        retrieval_cpu_s=round(retrieval.cpu_s, 2),
        pair_s=(round(wall[0], 5), round(wall[1], 5)),
        pair_cpu_s=(round(cpu[0], 5), round(cpu[1], 5)),
        times_faster=round(len(every) * wall[0] / (retrieval.wall_s + len(chosen) * wall[1]), 1),
        times_faster_cpu=round(len(every) * cpu[0] / (retrieval.cpu_s + len(chosen) * cpu[1]), 1),
    )


def _drawn(pairs: Sequence[Pair], most: int, rng: np.random.Generator) -> list[Pair]:
    return [pairs[i] for i in rng.permutation(len(pairs))[:most]]


def main() -> None:
    """Measure one set."""
    parser = set_parser(__doc__, "loop")
    parser.add_argument(
        "--run", type=Path, required=True, metavar="OUT", help="of a finished `sfm run` on the same photos"
    )
    parser.add_argument(
        "--sample", type=count, default=2000, metavar="N", help="pairs of each kind (default: %(default)s)"
    )
    options = parser.parse_args()
    if len(options.sets) != 1:
        parser.error("name one set")
    pycolmap.logging.minloglevel = 2
    check_options(options.option)
    config = load_config(overrides=options.option)
    try:
        edges = stored_edges(options.run / "cache")
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    if not edges:
        raise SystemExit(f"error: {options.run} holds no pairs; give the OUT of a finished `sfm run`")
    (photo_set,) = find_sets(options.sets, options)
    with open_store(photo_set, options.cache, config, threads=options.threads) as store:
        if strangers := {name for pair in edges for name in (pair.a, pair.b)} - set(store.names):
            raise SystemExit(
                f"error: {options.run} is of other photos: {min(strangers)} is not in {options.sets[0]}"
            )
        found = savings(photo_set.name, store, sorted(edges), config, options.sample)
    if options.out:
        write_results(
            options.out, [found], [], bench="pair_savings", threads=options.threads, options=options.option
        )
    print(json.dumps({"bench": "pair_savings", **provenance(options.threads), **asdict(found)}, indent=1))


if __name__ == "__main__":
    main()
