"""COLMAP's own mappers on a prepared database, one run a process.

    python tools/bench/peer_mapping.py incremental|global DATABASE OUT [--images IMAGES] --seed S --threads N

writes OUT/0, OUT/1, … and prints one line of JSON, a `Mapped`. Colours are taken from IMAGES; without them no
time goes into colours.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap

MIN_MODEL_SIZE = 3


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapper made of a database, largest model first."""

    map_s: float
    models: tuple[int, ...]
    """Registered photos of each model."""
    registered: int
    """Photos in any model."""
    mean_reprojection_error_px: float
    """Of the largest model, like the track length."""
    mean_track_length: float
    num_points: int
    cpu_s: float
    """User and system time of mapping."""
    peak_memory_mb: float
    """Largest resident set of this process alone."""


def map_database(
    engine: str, database: Path, images: Path | None, out: Path, *, seed: int, threads: int
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
    return mapped_models(sorted(made.values(), key=lambda model: -model.num_reg_images()), seconds, cpu)


def mapped_models(models: Sequence[pycolmap.Reconstruction], seconds: float, cpu_seconds: float) -> Mapped:
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
        peak_memory_mb=_peak_memory_mb(),
    )


def _peak_memory_mb() -> float:
    """From the kernel's own count: what getrusage tells of a child is at least what its parent held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _run(
    engine: str, database: Path, images: Path | None, out: Path, seed: int, threads: int
) -> Mapping[int, pycolmap.Reconstruction]:
    if engine == "incremental":
        options = _incremental_options(seed, threads)
        options.extract_colors = images is not None
        made = pycolmap.incremental_mapping(database, images or out, out, options)
    else:
        made = pycolmap.global_mapping(database, images or out, out, _global_options(seed, threads))
    return {i: model for i, model in made.items() if model.num_reg_images() >= MIN_MODEL_SIZE}


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", choices=["incremental", "global"])
    for name in ("database", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = vars(parser.parse_args())
    pycolmap.logging.minloglevel = 2
    print(json.dumps(asdict(map_database(**options))))


if __name__ == "__main__":
    main()
