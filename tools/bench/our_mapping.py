"""Our mapper on a prepared database, one run a process, without the report.

    python tools/bench/our_mapping.py DATABASE OUT --seed S --threads N [--option KEY=VALUE]

writes a workspace and prints one line of JSON, a `peer_mapping.Mapped`; seconds are those of registration.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pycolmap
from peer_mapping import Mapped, mapped_models

from sfm.config.loading import load_config
from sfm.database_mapping import map_database


def map_ours(database: Path, out: Path, *, seed: int, threads: int, option: Sequence[str] = ()) -> Mapped:
    """Map in an empty folder; the seconds of the CPU include the writing of the model."""
    own = [f"run.seed={seed}", f"run.threads={threads}", "export.report=false"]
    config = load_config(overrides=[*own, *option])
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    result = map_database(database, output=out, config=config)
    cpu_seconds = time.process_time() - started
    (out / "database.db").unlink()
    seconds = sum(stage.seconds for stage in result.run.stages if stage.stage == "register")
    return mapped_models(result.models, seconds, cpu_seconds)


def main() -> None:
    """Map once and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("database", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    options = vars(parser.parse_args())
    pycolmap.logging.minloglevel = 2
    print(json.dumps(asdict(map_ours(**options))))


if __name__ == "__main__":
    main()
