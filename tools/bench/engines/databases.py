"""The databases that COLMAP's mappers run on: made by `peer_database.py`, whose failures are kept, too.

CACHE/databases/KEY/                          a database and what it cost
CACHE/databases/failures/SET-CHOICE/KEY/      facts.json and the log of one that could not be made
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pycolmap
from harness.measured import Measured
from harness.one_at_a_time import only_process
from harness.paths import BENCH
from harness.stored_runs import Facts, may_finish, store_run, stored_facts
from photo_sets.sets import PhotoSet, files_key

from engines.settings import Record, Settings, last_line, run_python, source_key

_CAMERA_OPTIONS = ("camera_model", "camera_sharing", "camera_params", "cameras_file", "default_focal_factor")
_OF_DATABASES = (
    *("sift.", "verify.", "colmap.sift_", "colmap.feature_", "colmap.two_view_geometry."),
    *(f"images.{name}" for name in _CAMERA_OPTIONS),
)
_SOURCES = ("peer_database.py", "pair_choices.py", "vocabulary_tree.py")


@dataclass(frozen=True, slots=True)
class Database:
    """A database that is there."""

    figures: Record
    """A `peer_database.PeerDatabase`."""


@dataclass(frozen=True, slots=True)
class NoDatabase:
    """One that could not be made."""

    facts: Facts
    """Why, and what it took."""
    log: Path
    """What was printed."""


def database_options(options: Sequence[str]) -> tuple[str, ...]:
    """The overrides that the peers' databases follow, too: cameras, keypoints, matches."""
    return tuple(option for option in options if option.strip().startswith(_OF_DATABASES))


def database_path(photo_set: PhotoSet, settings: Settings, choice: str = "exhaustive") -> str:
    """Where the peers' database lies, under a name made from its content; empty if there is none."""
    prepared = prepared_database(photo_set, settings, choice)
    return prepared.figures["database"] if isinstance(prepared, Database) else ""


@cache
def prepared_database(
    photo_set: PhotoSet, settings: Settings, choice: str = "exhaustive"
) -> Database | NoDatabase:
    """Make or find the database of a set and choice, at most once a command.

    One that could not be made is tried again as a run that failed is: with higher limits, where it was
    stopped at one, or with `settings.retry_failed`; also with other photos, options or sources.
    """
    failures = settings.cache / "databases" / "failures" / f"{photo_set.name}-{choice}"
    # photos are read for a key only where there may be a failure
    folder = failures / _failure_key(photo_set, settings) if failures.is_dir() else None
    facts = stored_facts(folder) if folder and not settings.retry_failed else None
    if folder and facts and not may_finish(facts, settings.time_limit_s, settings.memory_limit_mb):
        return NoDatabase(facts, folder / "log")
    logs = settings.cache / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{photo_set.name}-{choice}-{os.getpid()}.log"
    command = [str(BENCH), "engines.peer_database", str(photo_set.photos), str(settings.cache)]
    command += ["--threads", str(settings.threads), "--pairs", choice]
    command += [f"--option={option}" for option in database_options(settings.options)]
    measured = run_python(command, settings, log)
    if not measured.failure:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        return Database(last_line(measured))
    return _kept_failure(failures / _failure_key(photo_set, settings), measured, settings, log)


def _failure_key(photo_set: PhotoSet, settings: Settings) -> str:
    """What a failure depends on: all that could mend it, but for the limits."""
    sources = (source_key(), files_key(BENCH, [BENCH / "engines" / name for name in _SOURCES]))
    told = (settings.threads, database_options(settings.options), pycolmap.__version__)
    return hashlib.sha256(repr((photo_set.content_key(), told, sources)).encode()).hexdigest()[:12]


def _kept_failure(folder: Path, measured: Measured, settings: Settings, log: Path) -> NoDatabase:
    """Put a failure in its place, with its log."""
    facts = Facts(
        status=f"{measured.failure} (making its database)",
        total_s=measured.seconds,
        cpu_s=measured.cpu_seconds,
        peak_memory_mb=measured.peak_memory_mb,
        time_limit_s=settings.time_limit_s,
        memory_limit_mb=settings.memory_limit_mb,
    )

    def keep(new: Path) -> Facts:
        shutil.copyfile(log, new / "log")
        return facts

    with only_process(folder):
        store_run(folder, keep)
    return NoDatabase(facts, folder / "log")
