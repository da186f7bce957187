"""COLMAP's own mappers on a prepared database, one run a process.

    python tools/bench/peer_mapping.py incremental|global DATABASE IMAGES OUT --seed S --threads N

writes OUT/0, OUT/1, … and prints one line of JSON, a `Mapped`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping
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


def map_database(engine: str, database: Path, images: Path, out: Path, *, seed: int, threads: int) -> Mapped:
    """Run one of COLMAP's mappers at its defaults, on a copy of the database since it may write there."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    copy = out / "database.db"
    shutil.copyfile(database, copy)
    started = time.monotonic()
    made = _run(engine, copy, images, out, seed, threads)
    seconds = time.monotonic() - started
    copy.unlink()
    models = sorted(made.values(), key=lambda model: -model.num_reg_images())
    names = {model.image(i).name for model in models for i in model.reg_image_ids()}
    largest = models[0] if models else pycolmap.Reconstruction()
    return Mapped(
        map_s=seconds,
        models=tuple(model.num_reg_images() for model in models),
        registered=len(names),
        mean_reprojection_error_px=largest.compute_mean_reprojection_error() if models else 0.0,
        mean_track_length=largest.compute_mean_track_length() if models else 0.0,
        num_points=largest.num_points3D(),
    )


def _run(
    engine: str, database: Path, images: Path, out: Path, seed: int, threads: int
) -> Mapping[int, pycolmap.Reconstruction]:
    if engine == "incremental":
        made = pycolmap.incremental_mapping(database, images, out, _incremental_options(seed, threads))
    else:
        made = pycolmap.global_mapping(database, images, out, _global_options(seed, threads))
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
    for name in ("database", "images", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = vars(parser.parse_args())
    pycolmap.logging.minloglevel = 2
    print(json.dumps(asdict(map_database(**options))))


if __name__ == "__main__":
    main()
