"""COLMAP's hierarchical mapper on a prepared database, one run a process.

    python tools/bench/hierarchical_mapping.py DATABASE OUT --images IMAGES --seed S --threads N

writes OUT/0, OUT/1, … and prints one line of JSON, a `peer_mapping.Mapped`. One worker at a time, since the
order in which several finish is chance.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pycolmap
from peer_mapping import MIN_MODEL_SIZE, Mapped, mapped_models


def map_hierarchically(database: Path, images: Path, out: Path, *, seed: int, threads: int) -> Mapped:
    """Run the mapper at its defaults, on a copy of the database since it may write there."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    copy = out / "database.db"
    shutil.copyfile(database, copy)
    options = pycolmap.HierarchicalPipelineOptions()
    options.num_threads, options.num_workers = threads, 1
    options.incremental_options.num_threads = threads
    options.incremental_options.random_seed = seed
    options.incremental_options.min_model_size = MIN_MODEL_SIZE
    started, cpu_started = time.monotonic(), time.process_time()
    made = pycolmap.hierarchical_mapping(copy, images, out, options)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu_started
    copy.unlink()
    models = [model for model in made.values() if model.num_reg_images() >= MIN_MODEL_SIZE]
    return mapped_models(sorted(models, key=lambda model: -model.num_reg_images()), seconds, cpu)


def main() -> None:
    """Map once and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("database", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = vars(parser.parse_args())
    pycolmap.logging.minloglevel = 2
    print(json.dumps(asdict(map_hierarchically(**options))))


if __name__ == "__main__":
    main()
