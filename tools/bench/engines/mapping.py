"""One mapper on a prepared database, one run a process: ours without its report, or one of COLMAP's.

    python tools/bench engines.mapping ours|incremental|global|hierarchical DATABASE OUT --seed S --threads N
        [--images IMAGES] [--option KEY=VALUE]

writes its models below OUT and prints one line of JSON, a `Mapped`. COLMAP's mappers take colours from
IMAGES; without them no time goes into colours. Options are ours.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap
from harness.arguments import add_overrides, program
from harness.process_tree import own_peak_mb

MIN_MODEL_SIZE = 3


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapper made of a database, largest model first."""

    map_s: float
    """Of ours that of registration."""
    models: tuple[int, ...]
    """Registered photos of each model."""
    registered: int
    """Photos in any model."""
    mean_reprojection_error_px: float
    """Of the largest model, like the track length."""
    mean_track_length: float
    num_points: int
    cpu_s: float
    """User and system time of mapping; of ours with the writing of the model."""
    peak_memory_mb: float
    """Largest resident set of this process alone."""


def map_ours(database: Path, out: Path, *, seed: int, threads: int, option: Sequence[str] = ()) -> Mapped:
    """Run our mapper in an empty folder."""
    # A peer's process need not hold our engine.
    from sfm.config.loading import load_config
    from sfm.pipelines.map_database import map_database

    own = [f"run.seed={seed}", f"run.threads={threads}", "export.report=false"]
    config = load_config(overrides=[*own, *option])
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    result = map_database(database, output=out, config=config)
    cpu_seconds = time.process_time() - started
    (out / "database.db").unlink()
    seconds = sum(stage.seconds for stage in result.run.stages if stage.stage == "register")
    return _figures(result.models, seconds, cpu_seconds)


def map_peer(
    engine: str, database: Path, out: Path, *, images: Path | None, seed: int, threads: int
) -> Mapped:
    """Run one of COLMAP's mappers at its defaults, on a copy of the database since it may write there."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    copy = out / "database.db"
    shutil.copyfile(database, copy)
    started, cpu_started = time.monotonic(), time.process_time()
    made = _run(engine, copy, images, out, seed, threads)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu_started
    copy.unlink()
    models = [model for model in made.values() if model.num_reg_images() >= MIN_MODEL_SIZE]
    return _figures(sorted(models, key=lambda model: -model.num_reg_images()), seconds, cpu)


def _figures(models: Sequence[pycolmap.Reconstruction], seconds: float, cpu_seconds: float) -> Mapped:
    """The figures of models, largest first."""
    names = {model.image(i).name for model in models for i in model.reg_image_ids()}
    largest = models[0] if models else pycolmap.Reconstruction()
    return Mapped(
        map_s=seconds,
        models=tuple(model.num_reg_images() for model in models),
        registered=len(names),
        mean_reprojection_error_px=largest.compute_mean_reprojection_error() if models else 0.0,
        mean_track_length=largest.compute_mean_track_length() if models else 0.0,
        num_points=largest.num_points3D(),
        cpu_s=cpu_seconds,
        peak_memory_mb=own_peak_mb(),
    )


def _run(
    engine: str, database: Path, images: Path | None, out: Path, seed: int, threads: int
) -> Mapping[int, pycolmap.Reconstruction]:
    if engine == "incremental":
        options = _incremental_options(seed, threads)
        options.extract_colors = images is not None
        return pycolmap.incremental_mapping(database, images or out, out, options)
    if engine == "hierarchical":
        hierarchical = pycolmap.HierarchicalPipelineOptions()
        hierarchical.num_threads = threads
        hierarchical.num_workers = 1  # the order in which several finish is chance
        hierarchical.incremental_options = _incremental_options(seed, threads)
        return pycolmap.hierarchical_mapping(database, images or out, out, hierarchical)
    return pycolmap.global_mapping(database, images or out, out, _global_options(seed, threads))


def _incremental_options(seed: int, threads: int) -> pycolmap.IncrementalPipelineOptions:
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = MIN_MODEL_SIZE
    options.num_threads = threads
    options.random_seed = seed
    return options


def _global_options(seed: int, threads: int) -> pycolmap.GlobalPipelineOptions:
    options = pycolmap.GlobalPipelineOptions()
    options.min_model_size = MIN_MODEL_SIZE
    options.num_threads = options.mapper.num_threads = threads
    options.random_seed = options.mapper.random_seed = seed
    return options


def main() -> None:
    """Map once and print the figures."""
    parser = program(__doc__)
    parser.add_argument("engine", choices=["ours", "incremental", "global", "hierarchical"])
    for name in ("database", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    add_overrides(parser)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    places = (options.database, options.out)
    shared = {"seed": options.seed, "threads": options.threads}
    if options.engine == "ours":
        mapped = map_ours(*places, option=options.option, **shared)
    else:
        mapped = map_peer(options.engine, *places, images=options.images, **shared)
    print(json.dumps(asdict(mapped)))


if __name__ == "__main__":
    main()
