"""One run of one engine on one set, in an empty folder that keeps its models and what it took."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pycolmap
from harness.measured import Measured, run_measured
from harness.one_at_a_time import only_process
from harness.paths import BENCH
from harness.result_file import today
from harness.shortened import shortened
from harness.stored_runs import Facts, may_finish, prune_runs, store_run, stored_facts
from photo_sets.sets import PhotoSet, files_key

from engines.databases import NoDatabase, database_path, prepared_database
from engines.engine_files import ExternalEngine, command_files, filled_command
from engines.our_backend import our_backend
from engines.settings import (
    MAPPING,
    Record,
    Settings,
    last_line,
    run_mapping,
    run_python,
    source_key,
)
from sfm.ingest.discover import discover

OWN = "own"
"""The choice of pairs of engines that make it themselves."""
_LACKED = ("exit 2:", "exit 4:", "exit 5:")
"""How failures of ours begin that are none of the photos': an option, weights or a device that is not there,
a folder that cannot be written. Nobody knows when that is mended, and to find out takes seconds."""
MAPPERS = ("incremental", "global", "hierarchical")
"""COLMAP's, by pycolmap."""


@dataclass(frozen=True, slots=True)
class Job:
    """An engine, a set and a seed."""

    photo_set: PhotoSet
    engine: str
    choice: str
    """How pairs were chosen, of `pair_choices.CHOICES`, or `OWN`."""
    seed: int
    external: ExternalEngine | None = None
    label: str = ""
    """What tells it in tables from the same engine with other options, on which its result's key depends."""

    @property
    def stem(self) -> str:
        """Where its results are kept, with whatever options."""
        return f"{self.photo_set.name}-{self.engine}-{self.choice}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Run:
    """What is kept of a job."""

    job: Job
    facts: Facts
    folder: Path

    @property
    def models(self) -> Path:
        """Where its models are, if there are any."""
        return self.folder / self.facts.models_at


def run_job(job: Job, settings: Settings, *, fresh: bool = False) -> Run:
    """The run, from the store if it is there.

    One that was stopped is made again when its limits are higher now; one of ours that this machine lacked
    something for every time; with `settings.retry_failed` any that failed; with `fresh` all.
    """
    folder = _folder(job, settings)
    with only_process(folder):
        facts = None if fresh else stored_facts(folder)
        if facts is None or (facts.status != "ok" and _has_another_chance(facts, job, settings)):
            facts = store_run(folder, lambda new: _made(job, settings, new))
    return Run(job, facts, folder)


def prune(job: Job, settings: Settings) -> int:
    """Remove what is kept of the same job with other options, threads, versions or sources, and count it."""
    return prune_runs(_folder(job, settings))


def _folder(job: Job, settings: Settings) -> Path:
    return settings.cache / "runs" / job.stem / _key(job, settings)


def _limits(job: Job, settings: Settings) -> tuple[float, float | None]:
    """Seconds and megabytes."""
    engine = job.external
    if engine is None:
        return settings.time_limit_s, settings.memory_limit_mb
    own_mb = 1000 * engine.memory_limit_gb if engine.memory_limit_gb else None
    return engine.time_limit_s or settings.time_limit_s, own_mb or settings.memory_limit_mb


def _made(job: Job, settings: Settings, folder: Path) -> Facts:
    """Run it, with what it was allowed and the day."""
    time_limit_s, memory_limit_mb = _limits(job, settings)
    facts = _runner(job)(job, settings, folder)
    return replace(facts, time_limit_s=time_limit_s, memory_limit_mb=memory_limit_mb, measured_on=today())


def _has_another_chance(facts: Facts, job: Job, settings: Settings) -> bool:
    """Whether a failure is made again."""
    lacked = job.engine == "ours" and facts.status.startswith(_LACKED)
    return settings.retry_failed or lacked or may_finish(facts, *_limits(job, settings))


def _runner(job: Job) -> Callable[[Job, Settings, Path], Facts]:
    if job.external is not None:
        return _run_external
    return _run_ours if job.engine == "ours" else _run_peer


def _key(job: Job, settings: Settings) -> str:
    """What a result depends on.

    Ours on photos, options and source, with the network on its weights and device, too; a peer's on its
    database and script.
    """
    parts: tuple[object, ...] = (settings.threads, pycolmap.__version__)
    if job.external is not None:
        engine = job.external
        told = (engine.command, sorted(engine.env.items()), engine.model)
        parts += (job.photo_set.content_key(), *told, command_files(engine))
    elif job.engine == "ours":
        parts += (job.photo_set.content_key(), settings.options, source_key())
        backend = our_backend(settings.options)
        if backend.name != "sift":  # which gives the same on every machine
            parts += (backend,)
    else:
        database = database_path(job.photo_set, settings, job.choice)
        parts += (database, files_key(BENCH, [BENCH / MAPPING]))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _run_ours(job: Job, settings: Settings, folder: Path) -> Facts:
    """`sfm run` from photos to model; of its workspace models and record are kept."""
    out = folder / "out"
    command = ["-m", "sfm", "run", str(job.photo_set.photos), "-o", str(out), "--quiet", *settings.options]
    command += ["--seed", str(job.seed), "--threads", str(settings.threads)]
    backend = our_backend(settings.options)
    measured = run_python(command, settings, folder / "log")
    record_file = out / "run.json"
    if measured.timed_out or measured.out_of_memory or not record_file.is_file():
        shutil.rmtree(out, ignore_errors=True)
        return replace(_failed(measured, job), backend=backend.name, device=backend.device)
    record = json.loads(record_file.read_text(encoding="utf-8", errors="surrogateescape"))
    shutil.copyfile(record_file, folder / "run.json")
    if (out / "sparse").is_dir():
        (out / "sparse").rename(folder / "models")
    shutil.rmtree(out)
    return replace(_our_facts(record, measured), device=backend.device)


def _our_facts(record: Record, measured: Measured) -> Facts:
    seconds: dict[str, float] = {}
    for stage in record["stages"]:
        seconds[stage["stage"]] = seconds.get(stage["stage"], 0.0) + stage["seconds"]
    models = record["models"]
    largest = models[0] if models else {}
    return Facts(
        status="ok" if models else shortened(record["message"]),
        photos=record["photos"]["readable"],
        backend=record["backend"],
        models_at="models",
        reprojection_px=largest.get("mean_reprojection_error_px"),
        track_length=largest.get("mean_track_length"),
        pairs=record["pairs"]["matched"],
        pairs_share=record["pairs"]["fraction"],
        describe_s=seconds.get("describe", 0.0),
        match_s=seconds.get("match", 0.0),
        map_s=sum(s for stage, s in seconds.items() if stage not in ("ingest", "describe", "match")),
        total_s=measured.seconds,
        cpu_s=measured.cpu_seconds,
        peak_memory_mb=measured.peak_memory_mb,
    )


def _run_peer(job: Job, settings: Settings, folder: Path) -> Facts:
    """A mapper of COLMAP on a prepared database; the seconds that made it are added as they were then."""
    prepared = prepared_database(job.photo_set, settings, job.choice)
    if isinstance(prepared, NoDatabase):
        shutil.copyfile(prepared.log, folder / "log")
        return replace(prepared.facts, photos=num_photos(job.photo_set))
    database = prepared.figures
    measured = run_mapping(
        job.engine,
        database["database"],
        folder / "models",
        settings,
        folder / "log",
        seed=job.seed,
        images=database["images"],
    )
    if measured.failure:
        return _failed(measured, job)
    mapped = last_line(measured)
    stages = (database["ingest_s"], database["describe_s"], database["match_s"], mapped["map_s"])
    num_pairs = database["num_photos"] * (database["num_photos"] - 1) // 2
    return Facts(
        status="ok" if mapped["models"] else "no model",
        photos=database["num_photos"],
        models_at="models",
        reprojection_px=mapped["mean_reprojection_error_px"] if mapped["models"] else None,
        track_length=mapped["mean_track_length"] if mapped["models"] else None,
        pairs=database["num_pairs"],
        pairs_share=database["num_pairs"] / num_pairs if num_pairs else 1.0,
        describe_s=stages[1],
        match_s=stages[2],
        map_s=stages[3],
        total_s=sum(stages),
        cpu_s=database["cpu_seconds"] + measured.cpu_seconds,
        peak_memory_mb=max(measured.peak_memory_mb, database["peak_memory_mb"]),
        described_on=database["described_on"],
        matched_on=database["matched_on"],
    )


def _run_external(job: Job, settings: Settings, folder: Path) -> Facts:
    """An engine that the user has installed, within its own limits or those of all runs."""
    engine = job.external
    assert engine is not None
    out = folder / "out"
    out.mkdir()
    values = {"photos": str(job.photo_set.photos), "out": str(out)}
    values |= {"threads": str(settings.threads), "seed": str(job.seed)}
    command, environment = filled_command(engine, values)
    time_limit_s, memory_limit_mb = _limits(job, settings)
    measured = run_measured(
        command,
        log=folder / "log",
        time_limit_s=time_limit_s,
        memory_limit_mb=memory_limit_mb,
        environment=environment,
        folder=out,
    )
    if measured.failure:
        return _failed(measured, job)
    return Facts(
        status="ok",
        photos=num_photos(job.photo_set),
        models_at=f"out/{engine.model}",
        total_s=measured.seconds,
        cpu_s=measured.cpu_seconds,
        peak_memory_mb=measured.peak_memory_mb,
    )


def _failed(measured: Measured, job: Job) -> Facts:
    return Facts(
        status=measured.failure or "no result",
        photos=num_photos(job.photo_set),
        total_s=measured.seconds,
        cpu_s=measured.cpu_seconds,
        peak_memory_mb=measured.peak_memory_mb,
    )


def num_photos(photo_set: PhotoSet) -> int:
    """Files of the set that an engine would take for photos, readable or not."""
    return len(discover(photo_set.photos).files)
