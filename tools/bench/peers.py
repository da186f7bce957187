"""Our engine beside COLMAP's mappers, and any other engine, on sets of photos: a table and JSON.

    python tools/bench/peers.py --all --out out/results.json
    python tools/bench/peers.py fountain-P11 fox --out out/peers.json
    python tools/bench/peers.py data/demo --mappers ours,hierarchical --pairs sequential,retrieval --seeds 1
    python tools/bench/peers.py eth3d:training tanks_and_temples:Barn@50 --datasets FOLDER
    python tools/bench/peers.py fox --mappers ours --engine-file my.yaml

`--all`: every set in --data; ours, and incremental and global on all pairs and on a vocabulary tree's (the
largest set on the latter only). Peers work on databases with the cameras and SIFT options that ours uses;
such a database is made once and kept, and its time counts in every row that uses it. Ways to choose pairs are
in `pair_choices.py`, other engines in a file like `engines.example.yaml`. Each run is a process group of its
own with limits of time and memory; a failure is a row. Results are kept, too: a run that was broken off goes
on where it stopped. Ours is run again when its source code has changed, an engine of a file when its program
or scripts have, any engine when it was stopped at a limit that is higher now; nothing is thrown away without
--prune.

{sets}

Two results of ours side by side, from the same machine:

    python tools/bench/peers.py SETS --out out/r-sift.json --option backend=sift
    python tools/bench/peers.py SETS --out out/r-mast3r.json --mappers ours --option backend=mast3r
    python tools/bench/report.py out/r-sift.json out/r-mast3r.json --out out/report/
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

from engines.databases import database_options
from engines.engine_files import ExternalEngine, read_engines
from engines.pair_choices import CHOICES
from engines.runs import MAPPERS, OWN, Job, Run, num_photos, prune, run_job
from engines.settings import (
    LARGE,
    PEERS,
    Settings,
    add_run_options,
    settings_from,
    told_options,
)
from harness.arguments import chosen_from, ending_on_errors
from harness.result_file import write_results
from harness.stored_runs import Facts
from metrics.mapper_scores import FoundModels, agreement, found_models
from metrics.model_figures import model_figures
from metrics.rows import Row, accuracy_of, measured_when, median_rows
from metrics.table import render
from photo_sets.sets import PhotoSet, find_sets, set_parser

from sfm.colmap.model_poses import Poses
from sfm.errors import EXIT_INTERRUPTED, InputError
from sfm.evaluation import load_ground_truth

ENGINES = ("ours", *MAPPERS)
_ITSELF = "COLMAP on all photos"
"""The origin of a truth that COLMAP's own result on the same photos would be."""


def main() -> int:
    """Parse, run what is missing, print; 1 where every run failed."""
    options = _parse()
    signal.signal(
        signal.SIGTERM, lambda number, _: sys.exit(128 + number)
    )  # an exit takes the running engine along
    rows: list[Row] = []
    try:
        _measure(options, rows)
    except KeyboardInterrupt:
        print(_interrupted(options, rows), file=sys.stderr)
        return EXIT_INTERRUPTED
    print(render(median_rows(rows)))
    if any(row.unmeasured_truth for row in rows):
        print("* against another program's result, not a measurement")
    if when := measured_when(rows):
        print(f"measured: {when}")
    tried = [row for row in rows if not row.skipped]
    return int(bool(tried) and not any(row.is_ok for row in tried))


def _interrupted(options: argparse.Namespace, rows: Sequence[Row]) -> str:
    """What is kept."""
    again = "the same command without --fresh" if options.fresh else "the same command"
    told = f"interrupted; finished runs are kept in {options.cache / 'runs'}: {again} goes on from there"
    return f"{told}; {options.out} holds {len(rows)} of its rows" if options.out and rows else told


def _measure(options: argparse.Namespace, rows: list[Row]) -> None:
    """Run what is missing and add its rows, set by set; `options.out` is written after each set and seed."""
    settings = settings_from(options)
    sets = find_sets(options.sets, options)
    with ending_on_errors():
        external = [e for file in options.engine_file for e in read_engines(file, taken=ENGINES)]
    notes = {engine.name: engine.note for engine in external}
    for photo_set in sets:
        for seed in range(options.seeds):
            runs, skipped = [], []
            for job in jobs_of(photo_set, options.mappers, options.pairs, external, seed):
                job = replace(job, label=label_of(job, settings.options, options.label))
                if reason := why_skipped(job):
                    skipped.append(_row_of(job, status=reason, skipped=True, pairs=None, pairs_share=None))
                    continue
                print(f"{job.stem} …", file=sys.stderr, flush=True)
                runs.append(_run(job, settings, options))
            new = [*rows_of(runs), *skipped]
            rows += new
            print(render(new), file=sys.stderr, flush=True)
            if options.out:
                write_results(
                    options.out,
                    rows,
                    median_rows(rows),
                    bench="peers",
                    threads=settings.threads,
                    options=settings.options,
                    notes=notes,
                )


def _run(job: Job, settings: Settings, options: argparse.Namespace) -> Run:
    run = run_job(job, settings, fresh=options.fresh)
    if run.facts.status != "ok":
        log = run.folder / "log"
        where = f"; its output: {log}" if log.is_file() else ""
        print(f"{job.stem}: {run.facts.status}{where}", file=sys.stderr, flush=True)
    if options.prune and (removed := prune(job, settings)):
        print(f"{job.stem}: {removed} other results removed", file=sys.stderr, flush=True)
    return run


def label_of(job: Job, options: Sequence[str], label: str | None) -> str:
    """What tells an engine's rows from those with other options; empty where none reach it.

    Without a label of the user's own it is the options, of the backend its name alone.
    """
    if job.external is not None:
        return ""
    if job.engine != "ours":
        options = database_options(options)
        return (label or told_options(options)) if options else ""
    return label or told_options(options)


def why_skipped(job: Job) -> str:
    """Why a job says nothing; empty where it does.

    COLMAP's poses from all photos are what it would be compared with.
    """
    if job.engine not in ("incremental", "hierarchical") or job.photo_set.truth is None:
        return ""
    try:
        content = json.loads(job.photo_set.truth.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # which its reader tells better
        return ""
    told = content if isinstance(content, dict) else {}
    if told.get("origin") != _ITSELF or told.get("left_out") != 0:
        return ""
    return "not measured: the truth is COLMAP's own result on these photos"


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
    found = [found_models(run.models) for run in runs]
    return [
        _row(run, found[i], [other.poses[0] for j, other in enumerate(found) if j != i and other.poses])
        for i, run in enumerate(runs)
    ]


def _row(run: Run, found: FoundModels, others: Sequence[Poses]) -> Row:
    facts, models, photo_set = run.facts, found.poses, run.job.photo_set
    row = _row_of(
        run.job,
        registered=len({name for poses in models for name in poses}),
        models=tuple(map(len, models)),
        **{f.name: getattr(facts, f.name) for f in fields(Facts) if f.name in _TOLD},
    )
    if row.status == "ok" and found.problem:
        row = replace(row, status=f"{'damaged model' if found.folders else 'no model'}: {_kept(run, found)}")
    if others and models:
        row = replace(row, agreement=median(agreement(other, models[0]) for other in others))
    try:
        if photo_set.truth is not None:
            row = replace(row, **asdict(accuracy_of(models, load_ground_truth(photo_set.truth))))
        if models:
            row = _with_model_figures(row, found.folders[0])
    except InputError as error:  # an engine that gave its photos other names, or a damaged model
        row = replace(row, status=_relative(str(error), run))
    return row


_TOLD = frozenset(f.name for f in fields(Row)) - {"photos"}


def _row_of(job: Job, **more: Any) -> Row:
    photo_set = job.photo_set
    return Row(
        set=photo_set.name,
        engine=job.engine,
        choice=job.choice,
        variant=job.label,
        seed=job.seed,
        photos=num_photos(photo_set),
        unmeasured_truth=photo_set.truth is not None and not photo_set.truth_is_measured,
        **more,
    )


def _with_model_figures(row: Row, folder: Path) -> Row:
    """What the largest model says, where the engine has not told it in the same way."""
    figures = model_figures(folder)
    if not figures.points:
        return replace(row, num_points=0)
    return replace(
        row,
        num_points=figures.points,
        reprojection_px=figures.mean_reprojection_px if row.reprojection_px is None else row.reprojection_px,
        track_length=figures.mean_track_length if row.track_length is None else row.track_length,
    )


def _kept(run: Run, found: FoundModels) -> str:
    return _relative(f"{found.problem}; its output: {run.folder / 'log'}", run)


def _relative(text: str, run: Run) -> str:
    """A message without the cache's place, which means nothing to those who read a report."""
    return text.replace(str(run.folder.parents[2]), "CACHE")


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__)
    parser.add_argument("--all", action="store_true", help="every set in --data")
    add_run_options(parser, engines=ENGINES)
    parser.set_defaults(mappers=",".join(("ours", *PEERS)))
    parser.add_argument(
        "--pairs",
        type=chosen_from(tuple(CHOICES)),
        help=f"how the pairs of COLMAP's mappers are chosen: some of {','.join(CHOICES)}; default:"
        " exhaustive, with --all vocabulary, too",
    )
    parser.add_argument(
        "--engine-file", type=Path, action="append", default=[], help="see engines.example.yaml"
    )
    parser.add_argument(
        "--label", metavar="NAME", help="what rows with --option are called; default: the options"
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="throw away stored results of the same runs with other options, threads, versions or sources",
    )
    options = parser.parse_args()
    if bool(options.sets) == options.all:
        parser.error("name sets, or ask for --all of them")
    if options.all:
        if not options.data.is_dir():
            parser.error(f"--data: {options.data} is no folder")
        options.sets = sorted(p.name for p in options.data.iterdir() if (p / "images").is_dir())
        if not options.sets:
            parser.error(f"--data: {options.data} holds no set, a folder with images/")
    options.pairs = options.pairs or (("exhaustive", "vocabulary") if options.all else ("exhaustive",))
    return options


if __name__ == "__main__":
    raise SystemExit(main())
