"""Did anything get worse? A few scenes in a few minutes, against figures that are in the repository.

    make bench-quick                                       # or: python tools/bench/quick.py
    python tools/bench/quick.py --update                   # what is measured now is right from now on
    python tools/bench/quick.py --scenes demo --option colmap.incremental_mapper.filter_max_reproj_error=0.05

Photos are reconstructed from the start (accuracy, photos in doubt, share of pairs matched), and our mapper
runs beside COLMAP's incremental one on one database, one after the other, for a ratio of CPU time that means
something on any machine. Names every scene and figure that got worse by more than `baseline.py` allows, and
exits with 1; so does a scene that cannot be measured. --update keeps the figures of other scenes, and on what
each scene was measured.
Scenes whose photos are not there are skipped and named.
"""

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.mapper_cases import Case, is_grid, prepare_case
from engines.runs import OWN, Job, run_job
from engines.settings import Settings, check_options, last_line, run_mapping
from harness.arguments import add_overrides, one_line, program
from harness.one_at_a_time import only_process
from harness.paths import CACHE, DATA, ROOT
from harness.result_file import provenance
from metrics.baseline import BASELINE, Figures, compared, left_out, read_baseline, read_provenance
from metrics.mapper_scores import read_models
from metrics.rows import Accuracy, accuracy
from photo_sets.sets import find_set

from sfm.errors import InputError
from sfm.report.figures import num_doubted


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene of the guard."""

    name: str
    path: str = ""
    """Of its photos, relative to the repository; empty for sets of --data and for grids."""
    num_seeds: int = 1
    """More where chance decides much."""
    timed: bool = True
    """Whether both mappers run on its database: not where that takes long, or the other gives up early."""


SCENES = (
    Scene("demo", "data/demo"),
    Scene("grid-100"),
    Scene("grid-100-alike"),
    Scene("fountain-P11"),
    Scene("eth3d_pipes", num_seeds=3, timed=False),
    Scene("kitchen25", timed=False),
)


def main() -> int:
    """Measure, compare, tell."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    check_options(options.option)
    settings = Settings(
        options.cache.resolve(), options.threads, 600.0, tuple(options.option), retry_failed=True
    )
    started = time.monotonic()
    found: dict[str, dict[str, Figures]] = {}
    failed: list[str] = []
    for scene in (s for s in SCENES if s.name in (options.scenes or [s.name])):
        if missing := _missing(scene, options.data):
            print(f"skipped  {scene.name}: {missing}", flush=True)
            continue
        seeds = range(scene.num_seeds)
        try:
            found[scene.name] = {str(seed): measure(scene, options.data, seed, settings) for seed in seeds}
        except (RuntimeError, InputError) as error:
            failed.append(f"{scene.name}: {str(error).removeprefix(f'{scene.name}: ')}")
            print(f"failed   {failed[-1]}", flush=True)
            continue
        print(f"measured {scene.name} ({time.monotonic() - started:.0f} s)", flush=True)
    if options.update:
        return _update(options.baseline, found, settings) or (1 if failed else 0)
    if other := _other_threads(options.baseline, found, options.threads):
        print(f"warning: {other}")
    return judge(options.baseline, found, failed)


def judge(path: Path, found: dict[str, dict[str, Figures]], failed: Sequence[str] = ()) -> int:
    """Print what changed; 1 where anything got worse or failed, 2 where there is nothing to compare with.

    Args:
        path: of the baseline.
        found: figures by scene and seed.
        failed: a line for each scene that could not be measured.
    """
    try:
        before = read_baseline(path)
    except InputError as error:
        return _refused(error)
    changes = list(compared(before, found))
    for line in left_out(before, found, [scene.name for scene in SCENES]):
        print(f"left out {line}")
    for change in changes:
        print(f"{change.verdict:8} {change.told()}")
    worse = [change.told() for change in changes if change.is_worse]
    if worse:
        print("\n  ".join([f"{len(worse)} of {len(changes)} figures got worse:", *worse]))
    if failed:
        print("\n  ".join(["could not be measured:", *failed]))
    if worse or failed:
        return 1
    if not changes:
        print(f"error: no figure to compare: no scene was measured that {path} has")
        return 2
    print(f"nothing of {len(changes)} figures got worse")
    return 0


def measure(scene: Scene, data: Path, seed: int, settings: Settings) -> Figures:
    """The figures of one scene and seed; a run that failed registered nothing.

    Raises:
        RuntimeError: there is no database for the mappers.
        InputError: the truth cannot be read, or does not know the photos.
    """
    name = str(ROOT / scene.path) if scene.path else scene.name
    if is_grid(scene.name):
        return _mapped(scene, name, data, seed, settings, scored=True)
    photo_set = find_set(name, data)
    run = run_job(Job(photo_set, "ours", OWN, seed), settings)
    models = read_models(run.models)
    figures: dict[str, float | None] = {"registered": len({n for poses in models for n in poses})}
    figures["pairs_share"] = run.facts.pairs_share
    figures["in_doubt"] = num_in_doubt(run.folder / "run.json")
    if photo_set.truth is not None:
        figures |= _accuracy(accuracy(run.models, photo_set.truth))
    if scene.timed and seed == 0:
        figures |= _mapped(scene, name, data, seed, settings, scored=False)
    return figures


def num_in_doubt(record: Path) -> int | None:
    """Photos that a run itself holds for misplaced, by its `run.json`; None where it left none."""
    if not record.is_file():
        return None
    return num_doubted(json.loads(record.read_text(encoding="utf-8", errors="surrogateescape")))


def _mapped(
    scene: Scene, name: str, data: Path, seed: int, settings: Settings, *, scored: bool
) -> dict[str, float | None]:
    """Our mapper and the incremental one on one database: the ratio of their CPU time, and ours scored."""
    case = prepare_case(name, data, settings)
    out = settings.cache / "quick" / scene.name  # the case's name may be a path
    with only_process(out):
        return _mapped_into(out, case, seed, settings, scored=scored)


def _mapped_into(
    out: Path, case: Case, seed: int, settings: Settings, *, scored: bool
) -> dict[str, float | None]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    seconds = []
    for engine in ("ours", "incremental"):
        log = out / f"{engine}.log"
        measured = run_mapping(engine, case.database, out / engine, settings, log, seed=seed)
        seconds.append(None if measured.failure else last_line(measured)["cpu_s"])
    ours, peer = seconds
    figures: dict[str, float | None] = {"cpu_ratio": ours / peer if ours and peer else None}
    if scored:
        models = read_models(out / "ours")
        figures["registered"] = len({n for poses in models for n in poses})
        figures |= _accuracy(accuracy(out / "ours", case.truth))
    return figures


def _accuracy(scores: Accuracy) -> dict[str, float | None]:
    return {"auc1": scores.auc1, "auc5": scores.auc5, "ate": scores.ate}


def _other_threads(path: Path, scenes: Collection[str], threads: int) -> str:
    """What is to be said of scenes that were measured with another number of threads; empty without any."""
    machines = {scene: entry.get("machine") for scene, entry in read_provenance(path).items()}
    others = {
        scene: machine["threads"]
        for scene, machine in machines.items()
        if scene in scenes and isinstance(machine, dict) and machine.get("threads", threads) != threads
    }
    if not others:
        return ""
    told = ", ".join(f"{scene} with --threads {count}" for scene, count in sorted(others.items()))
    return (
        f"{path.name} was measured with another number: {told}, this with {threads}:"
        " figures differ without anything being worse"
    )


def _missing(scene: Scene, data: Path) -> str:
    """Why a scene cannot be measured; empty where it can."""
    if is_grid(scene.name) or (ROOT / scene.path if scene.path else data / scene.name).is_dir():
        return ""
    return f"its photos are not in {data} (--data)" if not scene.path else f"no folder {scene.path}"


def _refused(error: InputError) -> int:
    print(f"error: {one_line(error)}")
    return 2


def _update(path: Path, found: dict[str, dict[str, Figures]], settings: Settings) -> int:
    """Put what was measured in place of the same scenes' figures, and on what; 2 if the file is damaged."""
    try:
        scenes = dict(read_baseline(path)) if path.is_file() else {}
    except InputError as error:
        return _refused(error)
    rounded = {
        scene: {seed: {figure: _rounded(value) for figure, value in f.items()} for seed, f in seeds.items()}
        for scene, seeds in found.items()
    }
    measured = {**read_provenance(path), **dict.fromkeys(found, provenance(settings.threads))}
    content = {"measured": measured, "scenes": {**scenes, **rounded}}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written  {path}: {', '.join(found) or 'nothing new'}")
    return 0


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    names = [scene.name for scene in SCENES]
    parser.add_argument("--scenes", nargs="+", choices=names, metavar="SCENE", help=", ".join(names))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of photo sets (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where results are kept (%(default)s)")
    parser.add_argument(
        "--baseline", type=Path, default=BASELINE, help="figures to compare with (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="results hold for the same number only (%(default)s)"
    )
    add_overrides(parser)
    parser.add_argument("--update", action="store_true", help="write the baseline, compare with nothing")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
