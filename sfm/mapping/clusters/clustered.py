"""Models of large components: clusters mapped side by side, joined, and grown by what is left over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfm.config.schema import RegisterConfig
from sfm.files.scratch import scratch_folder

from ..edits.join_overlapping import join_models
from ..growing.trials import Trial, Workbench, extend, judged
from ..scene.journal import Journal
from .partition import Cluster, partition
from .processes import run_tasks
from .task import is_mapped, map_task, read_models, write_task

_MIN_PHOTOS = 20  # of a component that is worth a process


def clustered_models(
    bench: Workbench,
    config: RegisterConfig,
    models: Sequence[Trial],
    discarded: Journal,
    *,
    scratch: Path | None = None,
) -> list[Trial]:
    """Models of the photos that `models` leave over, where these are so many that clusters pay; else none.

    The result depends on the clusters and on the threads a process has, never on which is done first.

    Args:
        bench: of the whole. Processes get a part of its scene each, as copies.
        config: `config.processes` and `config.cluster_size` count.
        models: so far.
        discarded: told of the clusters, of their joins, and of trials that were given up.
        scratch: folder in which clusters change hands, for this run alone; None: a temporary one.
    """
    if bench.options.frozen:  # the seams could not be adjusted
        return []
    processes = config.processes or bench.options.pipeline.num_threads
    clusters = _clusters(bench, config, models)
    if processes < 2 or sum(len(cluster.core) for cluster in clusters) < 2 * config.cluster_size:
        return []
    with _folder(scratch) as folder:
        found = _side_by_side(bench, config, clusters, folder, discarded, processes=processes)
    joined = join_models(bench, found, discarded)
    return _with_rest(bench, joined, frozenset().union(*(cluster.core for cluster in clusters)))


def _side_by_side(
    bench: Workbench,
    config: RegisterConfig,
    clusters: Sequence[Cluster],
    folder: Path,
    discarded: Journal,
    *,
    processes: int,
) -> list[Trial]:
    """Models of the clusters, each mapped by a process of its own, or here where that failed."""
    processes = min(processes, len(clusters))
    threads = max(1, bench.options.pipeline.num_threads // processes)
    tasks = [folder / f"{number:04d}" for number in range(len(clusters))]
    for task, cluster in zip(tasks, clusters, strict=True):
        write_task(task, bench, config, cluster.names, threads=threads)
    failures = run_tasks(tasks, processes=processes, threads=threads, on_registered=bench.on_registered)
    found: list[Trial] = []
    for task, cluster in zip(tasks, clusters, strict=True):
        if not is_mapped(task):
            map_task(task, bench.on_registered)
        done = read_models(task)
        discarded.entries += done.discarded.entries
        discarded.note(
            "cluster",
            num_images=len(cluster.names),
            num_core=len(cluster.core),
            registered=[len(trial.names) for trial in done.trials],
            seconds=done.seconds,
            cpu_s=done.cpu_s,
            failure=failures.get(task, ""),
        )
        found += done.trials
    return found


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    """An empty folder, gone in the end; what a killed run left there goes first."""
    if scratch is None:
        with scratch_folder() as made:
            yield made
        return
    folder = scratch / "clusters"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clusters(bench: Workbench, config: RegisterConfig, models: Sequence[Trial]) -> list[Cluster]:
    """Clusters of all components that are large enough, largest first."""
    taken = frozenset().union(*(trial.names for trial in models))
    scene = bench.scene
    frame_of = {name: scene.cache.image(image_id).frame_id for name, image_id in scene.id_of.items()}
    left = frozenset(scene.id_of) - taken
    found: list[Cluster] = []
    for component in scene.view_graph.restricted(left).components():
        if len(component) >= _MIN_PHOTOS:
            found += partition(scene.view_graph, component, frame_of, cluster_size=config.cluster_size)
    return sorted(found, key=lambda cluster: (-len(cluster.names), min(cluster.core)))


def _with_rest(bench: Workbench, models: Sequence[Trial], everyone: frozenset[str]) -> list[Trial]:
    """The models, grown by the photos that no cluster's model has."""
    grown: list[Trial] = []
    taken = frozenset().union(*(trial.names for trial in models))
    for trial in models:
        rest = everyone - taken
        near = bench.scene.view_graph.component(min(trial.names)) if rest else set()
        if not trial.from_depth and rest & near:
            extend(bench, trial, trial.names | (rest & near))
            judged(bench, trial)
            taken |= trial.names
        grown.append(trial)
    return grown
