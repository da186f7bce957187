"""Our engine beside COLMAP's mappers, and any other engine, on sets of photos: a table and JSON.

    python tools/bench/peers.py --all --out results.json
    python tools/bench/peers.py fountain-P11 fox --out peers.json
    python tools/bench/peers.py data/demo --mappers ours,hierarchical --pairs sequential,retrieval --seeds 1
    python tools/bench/peers.py eth3d:training tanks_and_temples:Barn@50 --datasets FOLDER
    python tools/bench/peers.py fox --mappers ours --engine-file my.yaml

`--all`: every set in --data; ours, and incremental and global on all pairs and on a vocabulary tree's (the
largest set on the latter only). Peers work on databases with the cameras and SIFT options that ours uses;
such a database is made once and kept, and its time counts in every row that uses it. Ways to choose pairs are
in `pair_choices.py`, other engines in a file like `engines.example.yaml`. Each run is a process group of its
own with limits of time and memory; a failure is a row. Results are kept, too: a run that was broken off goes
on where it stopped. Ours is run again when its source code has changed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

from engine_files import ExternalEngine, read_engines
from engines import LARGE, PEERS, add_run_options, chosen_from, settings_from
from mapper_scores import agreement, read_models
from pair_choices import CHOICES
from photo_sets import PhotoSet, find_sets
from result_file import write_results
from rows import Row, median_rows, score_poses
from runs import MAPPERS, OWN, Job, Run, run_job
from table import render

from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.evaluation.model_poses import Poses

ENGINES = ("ours", *MAPPERS)


def main() -> None:
    """Parse, run what is missing, print."""
    options = _parse()
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # an exit takes the running engine along
    settings = settings_from(options)
    sets = find_sets(options.sets, options)
    try:
        external = [e for file in options.engine_file for e in read_engines(file, taken=ENGINES)]
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    notes = {engine.name: engine.note for engine in external}
    rows: list[Row] = []
    for photo_set in sets:
        for seed in range(options.seeds):
            jobs = list(jobs_of(photo_set, options.mappers, options.pairs, external, seed))
            runs = []
            for job in jobs:
                print(f"{job.stem} …", file=sys.stderr, flush=True)
                runs.append(run_job(job, settings, fresh=options.fresh))
            rows += rows_of(runs)
            print(render(rows[-len(runs) :]), file=sys.stderr, flush=True)
            if options.out:
                write_results(
                    options.out,
                    rows,
                    median_rows(rows),
                    threads=settings.threads,
                    options=settings.options,
                    notes=notes,
                )
    print(render(median_rows(rows)))
    if any(row.unmeasured_truth for row in rows):
        print("* against another program's result, not a measurement")


def jobs_of(
    photo_set: PhotoSet,
    mappers: Sequence[str],
    choices: Sequence[str],
    external: Sequence[ExternalEngine],
    seed: int,
) -> Iterator[Job]:
    """Everything that runs on a set with one seed; all pairs of a large set are left out."""
    for mapper in mappers:
        if mapper == "ours":
            yield Job(photo_set, mapper, OWN, seed)
            continue
        for choice in choices:
            if not (choice == "exhaustive" and photo_set.name in LARGE):
                yield Job(photo_set, mapper, choice, seed)
    for engine in external:
        yield Job(photo_set, engine.name, OWN, seed, engine)


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """Rows of runs on one set with one seed, scored and compared with each other."""
    models = [read_models(run.models) for run in runs]
    return [
        _row(run, models[i], [m[0] for j, m in enumerate(models) if j != i and m])
        for i, run in enumerate(runs)
    ]


def _row(run: Run, models: Sequence[Poses], others: Sequence[Poses]) -> Row:
    photo_set = run.job.photo_set
    facts = asdict(run.facts)
    del facts["models_at"]
    row = Row(
        set=photo_set.name,
        engine=run.job.engine,
        choice=run.job.choice,
        seed=run.job.seed,
        registered=len({name for poses in models for name in poses}),
        models=tuple(map(len, models)),
        unmeasured_truth=photo_set.truth is not None and not photo_set.truth_is_measured,
        **facts,
    )
    if row.status == "ok" and not models:
        row = replace(row, status="no model")
    if others and models:
        row = replace(row, agreement=median(agreement(other, models[0]) for other in others))
    if photo_set.truth is None:
        return row
    try:
        return replace(row, **asdict(score_poses(models, load_ground_truth(photo_set.truth))))
    except InputError as error:  # an engine that gave its photos other names
        return replace(row, status=str(error)[:160])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sets", nargs="*", help="folders in --data, paths (photos in SET/images or SET), DATASET:SCENE[@N]"
    )
    parser.add_argument("--all", action="store_true", help="every set in --data")
    add_run_options(parser, engines=ENGINES, threads=os.cpu_count() or 1)
    parser.set_defaults(mappers=",".join(("ours", *PEERS)))
    parser.add_argument(
        "--pairs",
        type=chosen_from(tuple(CHOICES)),
        help=f"how the pairs of COLMAP's mappers are chosen: some of {','.join(CHOICES)}",
    )
    parser.add_argument(
        "--engine-file", type=Path, action="append", default=[], help="see engines.example.yaml"
    )
    options = parser.parse_args()
    if bool(options.sets) == options.all:
        parser.error("name sets, or ask for --all of them")
    if options.all:
        if not options.data.is_dir():
            parser.error(f"--data: {options.data} is no folder")
        options.sets = sorted(p.name for p in options.data.iterdir() if (p / "images").is_dir())
    options.pairs = options.pairs or (("exhaustive", "vocabulary") if options.all else ("exhaustive",))
    return options


if __name__ == "__main__":
    main()
