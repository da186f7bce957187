"""Global alignment, with bundle adjustment and without, beside mapper graph on rendered scenes: table, JSON.

    python tools/bench/alignment.py --threads 1 --out out/alignment.json
    python tools/bench/alignment.py chain spin --photos 20,100 --disturbed noise,wrong --threads 1

The ground truth answers in place of the network (internal.mast3r.oracle) at 256 px, with its usual noise,
with three times that (`noise`), with 10 % of the patches matched wrongly (`wrong`), or with sky as a
backdrop at 1.5 times the depth of the farthest things (`near-sky`) or at 30 times (`far-sky`). All methods
get the same pairs and no loop: all pairs of up to 20 photos, else those of MASt3R-SfM (retrieval-20-10).
What the network says is kept before and not measured: seconds are those of registration, CPU seconds and
memory those of the process. Rings of photos have 12 at least, of which the first are taken, so that
neighbours overlap. Results are kept until the source changes. `graph-alone` is mapper graph without its
initialiser by alignment; `published`, the preset mast3r-sfm, runs where it is named.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from engines.settings import Settings, add_run_options, run_python, settings_from, source_key
from harness.arguments import chosen_from, program
from harness.measured import Measured
from harness.paths import ROOT
from harness.result_file import write_results
from metrics.table import aligned
from photo_sets.sets import add_shared_options, files_key

from sfm.colmap.model_poses import find_models, read_poses
from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.evaluation.evaluate import evaluate_poses

SHAPES = ("square", "chain", "spin")
_JUDGED = ("auc1", "auc3", "auc5", "registered")
_LEAST_VIEWS, _COMPLETE = 12, 20
DISTURBED = {
    "none": (),
    "noise": ("internal.mast3r.oracle_noise=3",),
    "wrong": ("internal.mast3r.oracle_wrong_matches=0.1",),
    "near-sky": ("internal.mast3r.oracle_sky=1.5",),
    "far-sky": ("internal.mast3r.oracle_sky=30",),
}
METHODS = {
    "alignment": ("register.mapper=alignment", "alignment.refine=none"),
    "alignment+ba": ("register.mapper=alignment", "alignment.refine=ba"),
    "graph": ("register.mapper=graph",),
    "graph-alone": ("register.mapper=graph", "internal.alignment.initialise=false"),
    "published": ("--preset", "mast3r-sfm"),
}
_USUAL = ("alignment", "alignment+ba", "graph", "graph-alone")
_NO_STEPS = ("internal.alignment.niter1=0", "internal.alignment.niter2=0")
_NOT_INFERRED = ("rounds", "aligned", "lock", "pairs.txt", "scene_graph.json", "proposed_graph.json")
"""Of a run's cache: what depends on more than the network and the photos."""


@dataclass(frozen=True, slots=True)
class Case:
    """Photos of one scene, and what is wrong with what the network says of them."""

    shape: str
    photos: int
    disturbed: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.shape}-{self.photos}-{self.disturbed}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one case; without a model all pairs of photos are wrong."""

    shape: str
    photos: int
    disturbed: str
    seed: int
    method: str
    status: str = "ok"
    pairs: int | None = None
    registered: int = 0
    """In the largest model."""
    auc1: float = 0.0
    auc3: float = 0.0
    auc5: float = 0.0
    register_s: float | None = None
    """Wall clock, with bundle adjustment."""
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0


def main() -> None:
    """Run what is missing, print."""
    options = _parse()
    settings = settings_from(options)
    rows: list[Row] = []
    for row in _rows(options, settings):
        rows.append(row)
        print(render([row]).splitlines()[-1], file=sys.stderr, flush=True)
        if options.out:
            write_results(
                options.out,
                rows,
                [],
                bench="alignment",
                threads=settings.threads,
                options=settings.options,
                intrinsics=options.intrinsics,
                criteria=judge(rows),
            )
    print("\n".join([render(rows), *judge(rows)]))


def render(rows: Sequence[Row]) -> str:
    """A line a row."""
    return aligned(
        rows,
        (
            ("scene", lambda row: row.shape),
            ("N", lambda row: str(row.photos)),
            ("disturbed", lambda row: row.disturbed),
            ("seed", lambda row: str(row.seed)),
            ("method", lambda row: row.method),
            ("pairs", lambda row: "-" if row.pairs is None else str(row.pairs)),
            ("reg", lambda row: str(row.registered)),
            ("AUC@1", lambda row: f"{row.auc1:.1f}"),
            ("AUC@3", lambda row: f"{row.auc3:.1f}"),
            ("AUC@5", lambda row: f"{row.auc5:.1f}"),
            ("register s", lambda row: "-" if row.register_s is None else f"{row.register_s:.1f}"),
            ("CPU s", lambda row: f"{row.cpu_s:.0f}"),
            ("MB", lambda row: f"{row.peak_memory_mb:.0f}"),
            ("status", lambda row: row.status),
        ),
    )


def judge(rows: Sequence[Row]) -> list[str]:
    """Where alignment alone is ahead of both, and what the initialiser adds and takes; means of the seeds."""
    cases: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        name = f"{row.shape}-{row.photos}-{row.disturbed}"
        cases.setdefault(name, {}).setdefault(row.method, []).append(row)
    said = []
    for name, of_methods in cases.items():
        found = {
            method: {figure: fmean(getattr(row, figure) for row in some) for figure in _JUDGED}
            for method, some in of_methods.items()
        }
        others = [found[method] for method in ("alignment+ba", "graph") if method in found]
        if "alignment" in found and others:
            for figure in ("auc1", "auc3", "auc5"):
                alone, best = found["alignment"][figure], max(other[figure] for other in others)
                if alone > best:
                    said.append(f"{name}: alignment alone is ahead, {figure} {alone:.1f} against {best:.1f}")
        if "graph" in found and "graph-alone" in found:
            graph, without = found["graph"], found["graph-alone"]
            if more := graph["registered"] - without["registered"]:
                said.append(f"{name}: the initialiser {'adds' if more > 0 else 'takes'} {abs(more):g} photos")
            if graph["auc5"] < without["auc5"]:
                aucs = f"{without['auc5']:.1f} to {graph['auc5']:.1f}"
                said.append(f"{name}: the initialiser lowers auc5 from {aucs}")
    return said


def _rows(options: argparse.Namespace, settings: Settings) -> Iterator[Row]:
    """Case by case; the network is asked before the first method that is missing."""
    for photos in map(int, options.photos):
        for disturbed in options.disturbed:
            for shape in options.shapes or SHAPES:
                for seed in range(options.seeds):
                    case = Case(shape, photos, disturbed, seed)
                    yield from _of_case(case, options, settings)


def _of_case(case: Case, options: argparse.Namespace, settings: Settings) -> Iterator[Row]:
    scene = _scene(case, settings)
    shared = _words(case, scene, settings)
    if options.intrinsics == "true":
        content = json.loads((scene / "gt.json").read_text(encoding="utf-8"))
        camera = next(iter(content["cameras"].values()))  # one lens took them all
        shared += (f"images.camera_model={camera['model']}",)
        shared += (f"images.camera_params={','.join(map(str, camera['params']))}",)
    inferred = False
    for method in options.mappers:
        words = shared + METHODS[method]
        key = hashlib.sha256(repr((words, settings.threads, source_key())).encode()).hexdigest()[:12]
        folder = settings.cache / "alignment" / case.name / f"{method}-{key}"
        kept = folder / "row.json"
        row = Row(**json.loads(kept.read_text(encoding="utf-8"))) if kept.is_file() else None
        if row is None or options.fresh or (row.status != "ok" and settings.retry_failed):
            if not inferred:
                _infer(case, scene, shared, settings)
            inferred = True
            row = _measured(case, method, scene, words, folder, settings)
            kept.write_text(json.dumps(asdict(row)), encoding="utf-8")
        yield row


def _words(case: Case, scene: Path, settings: Settings) -> tuple[str, ...]:
    pairs = (
        ("retrieval.mode=exhaustive",)
        if case.photos <= _COMPLETE
        else ("retrieval.mode=mast3r-sfm", "retrieval.mast3r_sfm_graph=retrieval-20-10")
    )
    network = ("backend=mast3r", "mast3r.device=cpu", "mast3r.image_size=256", "register.max_rounds=0")
    oracle = (
        f"internal.mast3r.oracle={scene}",
        *DISTURBED[case.disturbed],
        f"run.threads={settings.threads}",
    )
    return (*network, *pairs, *oracle, *settings.options)


def _scene(case: Case, settings: Settings) -> Path:
    """The folder of the rendered photos, which is made where it is missing."""
    sources = [ROOT / "tools" / "render_scene.py", *sorted((ROOT / "tools" / "synthetic").glob("*.py"))]
    name = f"{case.shape}-{case.photos}-{case.seed}-{files_key(ROOT, sources)[:8]}"
    folder = settings.cache / "alignment" / "scenes" / name
    if not folder.is_dir():
        fresh = folder.with_name(f"{name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        views = max(case.photos, _LEAST_VIEWS)
        words = [str(sources[0]), str(fresh), "--scene", case.shape, "--views", str(views), "--depth"]
        words += ["--first", str(case.photos), "--seed", str(case.seed), "--width", "512", "--height", "384"]
        made = run_python(words, settings, fresh / "log")
        if made.failure:
            raise SystemExit(f"error: {name}: {made.failure}")
        fresh.rename(folder)
    return folder


def _infer(case: Case, scene: Path, shared: Sequence[str], settings: Settings) -> None:
    """Keep what the network says of pairs in one direction, for mapper graph, and in both, for alignment."""
    out = settings.cache / "alignment" / case.name / "inferred"
    for words in (METHODS["graph-alone"], (*METHODS["alignment"], *_NO_STEPS)):
        _run(scene, out, (*shared, *words), settings)


def _run(scene: Path, out: Path, words: Sequence[str], settings: Settings) -> Measured:
    out.mkdir(parents=True, exist_ok=True)
    command = ["-m", "sfm", "run", str(scene / "images"), "-o", str(out), *words]
    return run_python(command, settings, out.with_name(f"{out.name}.log"))


def _measured(
    case: Case, method: str, scene: Path, words: Sequence[str], folder: Path, settings: Settings
) -> Row:
    """Run a method on what the network said; its models and its record stay."""
    shutil.rmtree(folder, ignore_errors=True)
    said = folder.parent / "inferred" / "cache"
    shutil.copytree(said, folder / "cache", ignore=lambda at, _: _NOT_INFERRED if at == str(said) else ())
    run = _run(scene, folder, words, settings)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    try:
        models = [read_poses(model) for model in find_models(folder)]
    except InputError:
        models = []
    score = evaluate_poses(models, load_ground_truth(scene / "gt.json")).overall
    record = folder / "run.json"
    told = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    seconds = [stage["seconds"] for stage in told.get("stages", ()) if stage["stage"] == "register"]
    return Row(
        **asdict(case),
        method=method,
        status=run.failure or ("ok" if models else "no model"),
        pairs=told.get("pairs", {}).get("matched"),
        registered=score.num_registered,
        auc1=score.auc[1],
        auc3=score.auc[3],
        auc5=score.auc[5],
        register_s=sum(seconds) if seconds else None,
        cpu_s=run.cpu_seconds,
        peak_memory_mb=run.peak_memory_mb,
    )


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SCENE", help=f"some of {', '.join(SHAPES)}")
    parser.add_argument(
        "--photos",
        type=chosen_from(("2", "5", "10", "20", "100")),
        default="2,5,20",
        help="default: %(default)s; also 10, 100",
    )
    parser.add_argument(
        "--disturbed",
        type=chosen_from(tuple(DISTURBED)),
        default="none,noise,wrong",
        help=f"some of {', '.join(DISTURBED)}; default: %(default)s",
    )
    parser.add_argument("--intrinsics", choices=("estimated", "true"), default="estimated")
    add_shared_options(parser)
    add_run_options(parser, engines=tuple(METHODS))
    parser.set_defaults(seeds=1, mappers=",".join(_USUAL))
    options = parser.parse_args()
    if unknown := set(options.shapes) - set(SHAPES):
        parser.error(f"unknown {', '.join(sorted(unknown))}; choose from {', '.join(SHAPES)}")
    return options


if __name__ == "__main__":
    main()
