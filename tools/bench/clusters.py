"""A street grid mapped in one process and in several, each a run of its own: time by phase, accuracy, memory.

    python tools/bench/clusters.py grid-300 --cache CACHE --option internal.register.cluster_size=150

maps each case in one process of one thread and then in two of one thread each, and prints a JSON line a run.
`--threads T1,T2` gives the threads of the process that joins and finishes, which has the machine to itself
by then. CPU seconds include those of the processes that map clusters. The critical path is what the run
would take with a core for each process and nothing else to do: the CPU seconds of the first process, and
those of the clusters, dealt out to as many processes as there are in the order in which they are started.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pycolmap
from engines import BENCH, Settings
from mapper_cases import prepare_case
from mapper_scores import read_models, score
from our_mapping import map_ours

from sfm import database_mapping
from sfm.evaluation import load_ground_truth
from sfm.events import read_events
from sfm.mapping import registrar
from sfm.mapping.clusters import clustered

_PHASES = (
    (database_mapping, "read_suspects"),
    (registrar, "clustered_models"),
    (clustered, "run_tasks"),
    (clustered, "join_models"),
    (registrar, "new_models"),
    (registrar, "_renewed_models"),
    (registrar, "let_in"),
    (registrar, "finish"),
)


def main() -> None:
    """Run each case in one process and in two; with --run, be such a process."""
    options = _parse()
    if options.run:
        _run(options)
        return
    settings = Settings(options.cache.resolve(), 1, 3600.0)
    for name in options.cases:
        case = prepare_case(name, options.data, settings)
        for processes, threads in zip((1, 2), options.threads.split(","), strict=True):
            command = [sys.executable, str(BENCH / "clusters.py"), "--run", str(case.database)]
            command += [str(options.cache / "clusters" / f"{name}-{processes}-{threads}")]
            command += ["--processes", str(processes), "--threads", threads, "--seed", str(options.seed)]
            command += [f"--option={option}" for option in options.option]
            subprocess.run(command, check=True)


def _run(options: argparse.Namespace) -> None:
    pycolmap.logging.minloglevel = 2
    database, out = (Path(case) for case in options.cases)
    phases: dict[str, dict[str, float]] = {}
    for module, name in _PHASES:
        setattr(module, name, _timed(getattr(module, name), name.strip("_"), phases))
    own = [*options.option, f"register.processes={options.processes}"]
    started = time.monotonic()
    mapped = map_ours(database, out, seed=options.seed, threads=int(options.threads), option=own)
    seconds = time.monotonic() - started
    result = score(read_models(out), load_ground_truth(database.parent / "gt.json"))
    clusters = [event for event in read_events(out / "events.jsonl") if event["event"] == "cluster"]
    serial = _cpu(resource.RUSAGE_SELF)
    row = {
        "case": database.parent.name,
        "processes": options.processes,
        "threads": int(options.threads),
        "register_s": round(mapped.map_s, 1),
        "wall_s": round(seconds, 1),
        "cpu_s": round(serial + _cpu(resource.RUSAGE_CHILDREN), 1),
        "critical_path_s": round(serial + _side_by_side(clusters, options.processes), 1),
        "auc": [round(value, 2) for value in (result.auc1, result.auc3, result.auc5)],
        "ate": result.ate,
        "models": mapped.models,
        "peak_memory_mb": round(mapped.peak_memory_mb),
        "phases": phases,
        "clusters": [
            {key: event[key] for key in ("num_images", "registered", "seconds", "cpu_s", "failure")}
            for event in clusters
        ],
        "load": os.getloadavg()[0],
    }
    print(json.dumps(row), flush=True)


def _side_by_side(clusters: Sequence[Mapping[str, Any]], processes: int) -> float:
    """Seconds until the last of so many processes is done, each taking the next cluster when it is free."""
    ends = [0.0] * processes
    # What a process takes to start and to write its models is shared out evenly.
    spent = sum(float(event["cpu_s"]) for event in clusters)
    other = (_cpu(resource.RUSAGE_CHILDREN) - spent) / max(len(clusters), 1)
    for event in clusters:
        ends[ends.index(min(ends))] += float(event["cpu_s"]) + other
    return max(ends)


def _timed(
    function: Callable[..., Any], name: str, phases: dict[str, dict[str, float]]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _clock(name, phases):
            return function(*args, **kwargs)

    return call


@contextmanager
def _clock(name: str, phases: dict[str, dict[str, float]]) -> Iterator[None]:
    """Wall and CPU seconds of this process."""
    started, cpu = time.monotonic(), time.process_time()
    yield
    known = phases.setdefault(name, {"s": 0.0, "cpu_s": 0.0})
    known["s"] = round(known["s"] + time.monotonic() - started, 2)
    known["cpu_s"] = round(known["cpu_s"] + time.process_time() - cpu, 2)


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="+", help="street grids; with --run a database and an output folder")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "loopsfm-bench")
    parser.add_argument("--threads", default="1,1", help="of one process, and of the first of two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
