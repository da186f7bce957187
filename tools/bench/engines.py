"""What all runs of engines on photos have in common: settings, options, processes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arguments import amount, chosen_from, count, file_to_write, folder_to_write
from measured import Measured, run_measured
from photo_sets import add_datasets_option, files_key

from sfm.config.loading import load_config
from sfm.errors import ConfigError

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent.parent
Record = dict[str, Any]
PEERS = ("incremental", "global")
LARGE = ("bonsai292",)
"""Sets of which nobody matches all pairs: a vocabulary tree's for them, and only where they are named."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs have in common."""

    cache: Path
    threads: int
    time_limit_s: float
    options: tuple[str, ...] = ()
    """`key=value` overrides of our configuration."""
    memory_limit_mb: float | None = None
    """For a process and all that it starts."""
    retry_failed: bool = False
    """Whether what failed before is made again."""


def add_run_options(parser: argparse.ArgumentParser, *, engines: Sequence[str] = (), threads: int) -> None:
    """Options that the benches share which run engines.

    Args:
        parser: of the bench.
        engines: those to choose from with --mappers; without any there is no such option.
        threads: unless others are asked for.
    """
    parser.add_argument(
        "--data",
        type=Path,
        default=ROOT.parent / "shared" / "data",
        metavar="DIR",
        help="folder of photo sets (default: %(default)s)",
    )
    add_datasets_option(parser)
    parser.add_argument(
        "--cache",
        type=folder_to_write,
        default=str(Path.home() / ".cache" / "loopsfm-bench"),
        metavar="DIR",
        help="where results are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=file_to_write,
        metavar="FILE",
        help="JSON file with rows, medians and what is said of them; the photos of each benchmark's scene are"
        " listed beside it, SET-photos.txt",
    )
    parser.add_argument(
        "--seeds", type=count, default=3, metavar="N", help="runs of each (default: %(default)s)"
    )
    if engines:
        parser.add_argument(
            "--mappers",
            type=chosen_from(engines),
            default=",".join(engines),
            metavar="NAMES",
            help=f"some of {','.join(engines)}, with commas (default: %(default)s)",
        )
    parser.add_argument(
        "--threads", type=count, default=threads, metavar="N", help="of each process (default: %(default)s)"
    )
    parser.add_argument(
        "--time-limit",
        type=amount,
        default=7200.0,  # COLMAP's incremental mapper needs most of an hour for 292 photos on two cores
        metavar="S",
        help="seconds for each process (default: %(default)g)",
    )
    parser.add_argument(
        "--memory-limit",
        type=amount,
        metavar="GB",
        help="for each process with all that it starts (default: none)",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override of our configuration, as for `sfm run`; several times",
    )
    parser.add_argument("--fresh", action="store_true", help="run again what is in the store")
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed before")


def settings_from(options: argparse.Namespace) -> Settings:
    """The settings that the shared options ask for; the command ends with a message where one is wrong."""
    check_options(options.option)
    limit = None if options.memory_limit is None else 1000 * options.memory_limit
    return Settings(
        cache=options.cache.resolve(),
        threads=options.threads,
        time_limit_s=options.time_limit,
        options=tuple(options.option),
        memory_limit_mb=limit,
        retry_failed=options.retry_failed or options.fresh,
    )


def check_options(options: Sequence[str]) -> None:
    """End the command with a message where an override is none, before anything runs."""
    try:
        load_config(overrides=options)
    except ConfigError as error:
        raise SystemExit(f"error: --option: {error}") from error


def told_options(options: Sequence[str]) -> str:
    """Overrides as a name: of the backend its value alone, as `mast3r, run.seed=1`."""
    return ", ".join(option.removeprefix("backend=").strip() for option in options)


def source_key() -> str:
    """Hash of our engine's source."""
    folders = (ROOT / "sfm", ROOT / "retrieval", ROOT / "kernels")
    return files_key(ROOT, sorted(file for folder in folders for file in folder.rglob("*.py")))


def run_python(command: Sequence[str], settings: Settings, log: Path) -> Measured:
    """Run a script of ours with the threads and the limits of all runs."""
    return run_measured(
        [sys.executable, *command],
        log=log,
        time_limit_s=settings.time_limit_s,
        memory_limit_mb=settings.memory_limit_mb,
        environment={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(settings.threads)},
    )


def last_line(measured: Measured) -> Record:
    """The JSON that a script printed last; libraries may say something after it, as they end."""
    line: Record = json.loads([line for line in measured.tail.splitlines() if line.startswith("{")][-1])
    return line
