"""What all runs of engines on photos have in common: settings, options, processes."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.arguments import amount, chosen_from, count
from harness.measured import Measured, run_measured
from harness.paths import BENCH, ROOT
from photo_sets.sets import files_key

from sfm.config.loading import load_config
from sfm.errors import ConfigError

Record = dict[str, Any]
PEERS = ("incremental", "global")
MAPPING = "engines/mapping.py"
"""The program of all mappers, which their results depend on."""
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


def add_run_options(parser: argparse.ArgumentParser, *, engines: Sequence[str] = ()) -> None:
    """Options of the benches that run engines, beside the shared ones, which `parser` has.

    Args:
        parser: of the bench.
        engines: those to choose from with --mappers; without any there is no such option.
    """
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
    # COLMAP's incremental mapper needs most of an hour for 292 photos on two cores.
    _add_time_limit(parser, 7200.0)
    parser.add_argument(
        "--memory-limit",
        type=amount,
        metavar="GB",
        help="for each process with all that it starts (default: none)",
    )
    parser.add_argument("--fresh", action="store_true", help="run again what is in the store")
    parser.add_argument("--retry-failed", action="store_true", help="run again what failed before")


def parse_whole_runs(parser: argparse.ArgumentParser, *, time_limit_s: float) -> argparse.Namespace:
    """The options of a bench that makes one run of ours after the other and stores none, sets among them.

    Args:
        parser: of the bench, as `set_parser` makes it; `settings_from` serves the result.
        time_limit_s: of a run, unless the user gives another.
    """
    options = parse_runs(parser, time_limit_s=time_limit_s)
    if not options.sets:
        parser.error("name sets")
    return options


def parse_runs(parser: argparse.ArgumentParser, *, time_limit_s: float) -> argparse.Namespace:
    """The same of a bench that makes its photos itself; `parser` has the shared options."""
    _add_time_limit(parser, time_limit_s)
    parser.set_defaults(memory_limit=None, retry_failed=False, fresh=False)
    return parser.parse_args()


def _add_time_limit(parser: argparse.ArgumentParser, default_s: float) -> None:
    parser.add_argument(
        "--time-limit",
        type=amount,
        default=default_s,
        metavar="S",
        help="seconds for each process (default: %(default)g)",
    )


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


def run_photos(photos: Path, out: Path, settings: Settings) -> Measured:
    """A whole run of ours on a folder of photos, with the options of the settings; its log is `out`.log."""
    command = ["-m", "sfm", "run", str(photos), "-o", str(out), "--quiet", *settings.options]
    return run_python([*command, "--threads", str(settings.threads)], settings, out.with_suffix(".log"))


def run_mapping(
    engine: str,
    database: str | Path,
    out: Path,
    settings: Settings,
    log: Path,
    *,
    seed: int,
    images: str | None = None,
) -> Measured:
    """Run one mapper on a prepared database, ours with its options; `mapping.py` says what comes of it."""
    command = [str(BENCH), "engines.mapping", engine, str(database), str(out), "--seed", str(seed)]
    command += ["--threads", str(settings.threads), *([] if images is None else ["--images", images])]
    if engine == "ours":
        command += [f"--option={option}" for option in settings.options]
    return run_python(command, settings, log)


def last_line(measured: Measured) -> Record:
    """The JSON that a script printed last; libraries may say something after it, as they end."""
    line: Record = json.loads([line for line in measured.tail.splitlines() if line.startswith("{")][-1])
    return line
