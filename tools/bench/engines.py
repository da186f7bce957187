"""Run our engine or one of COLMAP's on photos, each run in a process of its own; a failure is a row."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import peer_mapping
from measured import Measured, run_measured
from photo_sets import PhotoSet
from rows import Row, score

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent.parent
Record = dict[str, Any]
PEERS = ("incremental", "global")


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs have in common."""

    cache: Path
    threads: int
    time_limit_s: float
    options: tuple[str, ...] = ()
    """`key=value` overrides of our configuration."""


def run_engine(engine: str, photo_set: PhotoSet, seed: int, settings: Settings) -> Row:
    """One run of `ours`, `incremental` or `global`."""
    if engine == "ours":
        return _run_ours(photo_set, seed, settings)
    return _run_peer(engine, photo_set, seed, settings)


def _run_ours(photo_set: PhotoSet, seed: int, settings: Settings) -> Row:
    """`sfm run` from photos to model, in an empty folder each time."""
    out = settings.cache / "ours" / f"{photo_set.name}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    command = ["-m", "sfm", "run", str(photo_set.photos), "-o", str(out), "--quiet", *settings.options]
    command += ["--seed", str(seed), "--threads", str(settings.threads)]
    measured = _python(command, settings, out.with_suffix(".log"))
    if measured.timed_out or not (out / "run.json").is_file():
        return _failed("ours", photo_set, seed, measured)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return _our_row(photo_set, seed, measured, record, out)


def _our_row(photo_set: PhotoSet, seed: int, measured: Measured, record: Record, out: Path) -> Row:
    seconds: dict[str, float] = {}
    for stage in record["stages"]:
        seconds[stage["stage"]] = seconds.get(stage["stage"], 0.0) + stage["seconds"]
    models = record["models"]
    largest = models[0] if models else {}
    return Row(
        set=photo_set.name,
        engine="ours",
        seed=seed,
        status="ok" if models else record["message"][:160],
        photos=record["photos"]["readable"],
        registered=record["photos"]["registered"],
        models=tuple(model["num_images"] for model in models),
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
        unmeasured_truth=photo_set.truth is not None and not photo_set.truth_is_measured,
        **asdict(score(out / "sparse", photo_set.truth)),
    )


def _run_peer(engine: str, photo_set: PhotoSet, seed: int, settings: Settings) -> Row:
    """A mapper of COLMAP on the exhaustive database; the seconds that made it are added as they were then."""
    prepared = prepared_database(photo_set, settings)
    if prepared.failure:
        return _failed(engine, photo_set, seed, prepared)
    database = _last_line(prepared)
    out = settings.cache / engine / f"{photo_set.name}-{seed}"
    command = [str(BENCH / "peer_mapping.py"), engine, database["database"], database["images"], str(out)]
    command += ["--seed", str(seed), "--threads", str(settings.threads)]
    measured = _python(command, settings, settings.cache / "logs" / f"{photo_set.name}-{engine}-{seed}.log")
    if measured.failure:
        return _failed(engine, photo_set, seed, measured)
    return _peer_row(engine, photo_set, seed, database, measured, out)


@cache
def prepared_database(photo_set: PhotoSet, settings: Settings) -> Measured:
    """Run `peer_database.py`, at most once for each set; it finds by itself what is there already."""
    logs = settings.cache / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    command = [str(BENCH / "peer_database.py"), str(photo_set.photos), str(settings.cache)]
    command += ["--threads", str(settings.threads)]
    return _python(command, settings, logs / f"{photo_set.name}-database.log")


def database_path(photo_set: PhotoSet, settings: Settings) -> str:
    """Where the peers' database lies, under a name made from its content; empty if there is none."""
    prepared = prepared_database(photo_set, settings)
    return "" if prepared.failure else _last_line(prepared)["database"]


def _peer_row(
    engine: str, photo_set: PhotoSet, seed: int, database: Record, measured: Measured, out: Path
) -> Row:
    mapped = _last_line(measured)
    stages = (database["ingest_s"], database["describe_s"], database["match_s"], mapped["map_s"])
    return Row(
        set=photo_set.name,
        engine=engine,
        seed=seed,
        status="ok" if mapped["models"] else "no model",
        photos=database["num_photos"],
        registered=mapped["registered"],
        models=tuple(mapped["models"]),
        reprojection_px=mapped["mean_reprojection_error_px"] if mapped["models"] else None,
        track_length=mapped["mean_track_length"] if mapped["models"] else None,
        pairs=database["num_pairs"],
        pairs_share=1.0,
        describe_s=stages[1],
        match_s=stages[2],
        map_s=stages[3],
        total_s=sum(stages),
        cpu_s=database["cpu_seconds"] + measured.cpu_seconds,
        peak_memory_mb=max(measured.peak_memory_mb, database["peak_memory_mb"]),
        unmeasured_truth=photo_set.truth is not None and not photo_set.truth_is_measured,
        **asdict(score(out, photo_set.truth, min_model_size=peer_mapping.MIN_MODEL_SIZE)),
    )


def _python(command: Sequence[str], settings: Settings, log: Path) -> Measured:
    return run_measured(
        [sys.executable, *command],
        log=log,
        time_limit_s=settings.time_limit_s,
        environment={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(settings.threads)},
    )


def _failed(engine: str, photo_set: PhotoSet, seed: int, measured: Measured) -> Row:
    return Row(
        set=photo_set.name,
        engine=engine,
        seed=seed,
        status=measured.failure or "no result",
        total_s=measured.seconds,
        cpu_s=measured.cpu_seconds,
        peak_memory_mb=measured.peak_memory_mb,
    )


def _last_line(measured: Measured) -> Record:
    line: Record = json.loads(measured.tail.strip().splitlines()[-1])
    return line
