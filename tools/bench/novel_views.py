"""How good models are for new views: every 8th photo is held out and localised; Gaussians on a GPU.

    python tools/bench/novel_views.py data/demo fox --mappers ours,incremental --seeds 1

An engine maps the other photos. `localised`: held-out photos that `sfm localize` finds a pose for; `centre`,
`rotation`: its median error against the truth, or without one against our model of all photos; `grey`: median
difference of grey values between held-out photos and the model's, at its points. `PSNR`: of held-out photos
under 3D Gaussians trained on the others with the poses of a model of all photos (`gaussians.py`), where CUDA
and gsplat are there (`pip install '.[gaussians]'`); else the reason why not. It is the mean over those
that the engine's model holds, in brackets how many; engines are compared by `common PSNR`, over the photos
that all engines with a PSNR hold.

{sets}
"""

import argparse
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache, partial
from statistics import mean, median, median_low

import pycolmap
from engines.runs import MAPPERS, OWN, Job, Run, run_job
from engines.settings import PEERS, Settings, add_run_options, run_python, settings_from
from harness.result_file import write_results
from harness.shortened import shortened
from metrics import gaussians
from metrics.held_out import colour_difference, linked, place_errors, read_placed, split
from metrics.mapper_scores import read_models
from metrics.rows import Number
from metrics.table import aligned, number
from peers import label_of
from photo_sets.sets import PhotoSet, find_sets, set_parser

from sfm.colmap.model_poses import Poses, find_models, read_poses
from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.ingest.discover import PHOTO_SUFFIXES

BENCH = "novel_views"
"""What its result files say that they are of."""
_MIN_PHOTOS = 9
"""With fewer a model of the others is another scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRow:
    """Figures of one engine on one set, or medians over seeds."""

    set: str
    engine: str
    variant: str = ""
    """What was changed of the engine, or what its user calls that; empty at its defaults."""
    seed: int | None
    status: str = "ok"
    held: int = 0
    """Photos held out."""
    localised: int = 0
    centre_percent: Number = None
    """Of the extent."""
    rotation_deg: Number = None
    grey: Number = None
    psnr: Number = None
    """Mean over the held-out photos that the model of all photos holds."""
    psnr_photos: int = 0
    """Over how many."""
    psnr_of: Mapping[str, float] = field(default_factory=dict)
    """Of each of them; empty in medians."""
    common_psnr: Number = None
    """Mean over those that every engine with a PSNR holds, of the same set and seed."""
    common_photos: int = 0
    psnr_note: str = ""
    """Why there is no PSNR."""
    against: str = ""
    """What poses were compared with."""

    @property
    def name(self) -> str:
        """Engine and variant, for people."""
        return f"{self.engine} ({self.variant})" if self.variant else self.engine


def with_count(value: Number, photos: int, note: str) -> str:
    """A PSNR, and over how many photos it is, or why there is none."""
    if value is None:
        return f"- ({note})" if note else "-"
    return f"{value:.2f} ({photos})"


_COLUMNS: tuple[tuple[str, Callable[[ViewRow], str]], ...] = (
    ("set", lambda row: row.set),
    ("engine", lambda row: row.name),
    ("seed", lambda row: "-" if row.seed is None else str(row.seed)),
    ("localised", lambda row: f"{row.localised} of {row.held}"),
    ("centre %", lambda row: number(row.centre_percent, 3)),
    ("rotation deg", lambda row: number(row.rotation_deg, 3)),
    ("grey", lambda row: number(row.grey, 2)),
    ("PSNR", lambda row: with_count(row.psnr, row.psnr_photos, row.psnr_note)),
    ("common PSNR", lambda row: with_count(row.common_psnr, row.common_photos, "")),
    ("against", lambda row: row.against),
    ("status", lambda row: row.status),
)


def render(rows: Sequence[ViewRow]) -> str:
    """A line a row."""
    return aligned(rows, _COLUMNS)


def measure(
    photo_set: PhotoSet, engine: str, seed: int, settings: Settings, run_of: Callable[[Job], Run]
) -> ViewRow:
    """Hold out, map, localise, look; a failure is a row with its reason.

    Args:
        photo_set: all photos.
        engine: one of ours and COLMAP's.
        seed: of its run, of the localisation and of the Gaussians.
        settings: of all runs.
        run_of: gives the run of a job.
    """
    variant = _job(photo_set, engine, seed, settings).label
    row = ViewRow(set=photo_set.name, engine=engine, variant=variant, seed=seed)
    files = sorted(p for p in photo_set.photos.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
    names = [path.relative_to(photo_set.photos).as_posix() for path in files]
    if len(names) < _MIN_PHOTOS:
        return replace(row, status=f"{len(names)} photos are too few; {_MIN_PHOTOS} at least")
    train, held = split(names)
    place = settings.cache / "held_out" / photo_set.name
    part = PhotoSet(f"{photo_set.name}-held-out", linked(train, photo_set.photos, place / "train"), None)
    queries = linked(held, photo_set.photos, place / "held")
    run = run_of(_job(part, engine, seed, settings))
    row = _with_gaussians(replace(row, held=len(held)), photo_set, set(held), settings, run_of)
    models = read_models(run.models)
    if not models:
        return replace(row, status=run.facts.status if run.facts.status != "ok" else "no model")
    largest = max(find_models(run.models), key=lambda folder: len(read_poses(folder)))
    out = place / f"{engine}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    command = ["-m", "sfm", "localize", str(largest), str(queries), "-o", str(out), "--quiet"]
    command += ["--images", str(part.photos), "--seed", str(seed), "--threads", str(settings.threads)]
    measured = run_python(command, settings, place / f"{engine}-{seed}.log")
    if not (out / "poses.json").is_file():
        return replace(row, status=f"localize: {measured.failure}")
    placed = read_placed(out / "poses.json")
    reference, against = _reference(photo_set, seed, settings, run_of)
    errors = place_errors(models[0], placed, reference, [name for name in held if name in reference])
    model = pycolmap.Reconstruction(largest)
    greys = [colour_difference(model, photo, queries, part.photos) for photo in placed]
    known = [grey for grey in greys if grey is not None]
    return replace(
        row,
        localised=len(placed),
        centre_percent=errors.centre_percent,
        rotation_deg=errors.rotation_deg,
        grey=median(known) if known else None,
        against=against,
    )


def _job(photo_set: PhotoSet, engine: str, seed: int, settings: Settings) -> Job:
    job = Job(photo_set, engine, OWN if engine == "ours" else "exhaustive", seed)
    return replace(job, label=label_of(job, settings.options, None))


def _reference(
    photo_set: PhotoSet, seed: int, settings: Settings, run_of: Callable[[Job], Run]
) -> tuple[Poses, str]:
    """Measured poses, or those of our model of all photos: no truth, but it has seen the held-out photos."""
    if photo_set.truth is not None and photo_set.truth_is_measured:
        truth = load_ground_truth(photo_set.truth)
        if truth.components is None:
            return truth.poses, "truth"
    models = read_models(run_of(_job(photo_set, "ours", seed, settings)).models)
    return (models[0] if models else {}), "our model of all photos"


def _with_gaussians(
    row: ViewRow, photo_set: PhotoSet, held: set[str], settings: Settings, run_of: Callable[[Job], Run]
) -> ViewRow:
    if reason := gaussians.missing():
        return replace(row, psnr_note=reason)
    seed = row.seed or 0
    whole = run_of(_job(photo_set, row.engine, seed, settings))
    try:
        model = find_models(whole.models)[0]
        values = gaussians.held_out_psnr(model, photo_set.photos, held, settings.cache / "gaussians", seed)
    except (InputError, RuntimeError, ValueError) as error:
        return replace(row, psnr_note=shortened(str(error)))
    return replace(row, psnr=mean(values.values()), psnr_photos=len(values), psnr_of=values)


def with_common_psnr(rows: Sequence[ViewRow]) -> list[ViewRow]:
    """The rows with the mean PSNR over the photos that all engines hold which have one, by set and seed."""
    shared: dict[tuple[str, int | None], set[str]] = {}
    for row in rows:
        if row.psnr_of:
            names = shared.setdefault((row.set, row.seed), set(row.psnr_of))
            names.intersection_update(row.psnr_of)
    return [_over(row, shared.get((row.set, row.seed), set())) for row in rows]


def _over(row: ViewRow, names: Set[str]) -> ViewRow:
    if not row.psnr_of or not names:
        return replace(row, common_psnr=None, common_photos=0)
    value = mean(row.psnr_of[name] for name in sorted(names))
    return replace(row, common_psnr=value, common_photos=len(names))


def medians(rows: Sequence[ViewRow]) -> list[ViewRow]:
    """One row a set and engine: medians over the seeds that finished; one that failed localised no photo."""
    groups: dict[tuple[str, str, str], list[ViewRow]] = {}
    for row in rows:
        groups.setdefault((row.set, row.engine, row.variant), []).append(row)
    found = []
    for group in groups.values():
        done = [row for row in group if row.status == "ok"] or group
        failed = len(group) - len(done)
        found.append(
            replace(
                done[0],
                seed=None,
                status=f"ok, {failed} of {len(group)} failed" if failed else done[0].status,
                localised=median_low(row.localised if row in done else 0 for row in group),
                centre_percent=_middle([row.centre_percent for row in done]),
                rotation_deg=_middle([row.rotation_deg for row in done]),
                grey=_middle([row.grey for row in done]),
                psnr=_middle([row.psnr for row in done]),
                psnr_note=next((row.psnr_note for row in done if row.psnr_note), ""),
                psnr_photos=median_low(row.psnr_photos for row in done),
                psnr_of={},
                common_psnr=_middle([row.common_psnr for row in done]),
                common_photos=median_low(row.common_photos for row in done),
            )
        )
    return found


def _middle(values: Sequence[Number]) -> Number:
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None


def main() -> None:
    """Parse, measure, print."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    settings = settings_from(options)
    sets = find_sets(options.sets, options)
    run_of = cache(partial(run_job, settings=settings, fresh=options.fresh))  # afresh, but each job once
    rows: list[ViewRow] = []
    for photo_set in sets:
        for engine in options.mappers:
            for seed in range(options.seeds):
                rows = with_common_psnr([*rows, measure(photo_set, engine, seed, settings, run_of)])
                print(render(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
                if options.out:
                    threads, changed = settings.threads, settings.options
                    write_results(
                        options.out, rows, medians(rows), bench=BENCH, threads=threads, options=changed
                    )
    print(render(medians(rows)))


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__)
    add_run_options(parser, engines=("ours", *MAPPERS))
    parser.set_defaults(mappers=",".join(("ours", *PEERS)))
    return parser.parse_args()


if __name__ == "__main__":
    main()
