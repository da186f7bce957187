"""Models of large components: clusters mapped side by side, joined, and grown by what is left over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfm.config.schema import RegisterConfig
from sfm.files.scratch import scratch_folder

from ..edits.join_overlapping import join_models
from ..growing.submodels import MappingContext, Submodel, extend, judged
from ..scene.journal import Journal
from .partition import Cluster, partition
from .processes import run_tasks
from .task import is_mapped, map_task, read_models, write_task

_MIN_IMAGES = 20  # of a component that is worth a process


def clustered_models(
    context: MappingContext,
    config: RegisterConfig,
    models: Sequence[Submodel],
    discarded: Journal,
    *,
    scratch: Path | None = None,
) -> list[Submodel]:
    """Models of the images that `models` leave over, by clusters where these are many; else none.

    The result depends on the clusters and on the threads of each process, never on the order in which they
    end.

    Args:
        context: of the whole. Each process gets a copy of a part of its scene.
        config: with `config.processes` and `config.cluster_size`.
        models: so far.
        discarded: records the clusters, their joins, and discarded trials.
        scratch: folder for the files of clusters, of this run alone; None: a temporary one.
    """
    if context.options.frozen:  # the seams could not be adjusted
        return []
    processes = config.processes or context.options.pipeline.num_threads
    clusters = _clusters(context, config, models)
    if processes < 2 or sum(len(cluster.core) for cluster in clusters) < 2 * config.cluster_size:
        return []
    with _folder(scratch) as folder:
        found = _side_by_side(context, config, clusters, folder, discarded, processes=processes)
    joined = join_models(context, found, discarded)
    return _with_rest(context, joined, frozenset().union(*(cluster.core for cluster in clusters)))


def _side_by_side(
    context: MappingContext,
    config: RegisterConfig,
    clusters: Sequence[Cluster],
    folder: Path,
    discarded: Journal,
    *,
    processes: int,
) -> list[Submodel]:
    """Models of the clusters, each mapped by a process of its own, or here where that failed."""
    processes = min(processes, len(clusters))
    threads = max(1, context.options.pipeline.num_threads // processes)
    tasks = [folder / f"{number:04d}" for number in range(len(clusters))]
    for task, cluster in zip(tasks, clusters, strict=True):
        write_task(task, context, config, cluster.names, threads=threads)
    failures = run_tasks(tasks, processes=processes, threads=threads, on_registered=context.on_registered)
    found: list[Submodel] = []
    for task, cluster in zip(tasks, clusters, strict=True):
        if not is_mapped(task):
            map_task(task, context.on_registered)
        done = read_models(task)
        discarded.entries += done.discarded.entries
        discarded.note(
            "cluster",
            num_images=len(cluster.names),
            num_core=len(cluster.core),
            registered=[len(submodel.names) for submodel in done.submodels],
            seconds=done.seconds,
            cpu_s=done.cpu_s,
            failure=failures.get(task, ""),
        )
        found += done.submodels
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


def _clusters(context: MappingContext, config: RegisterConfig, models: Sequence[Submodel]) -> list[Cluster]:
    """Clusters of all components that are large enough, largest first."""
    taken = frozenset().union(*(submodel.names for submodel in models))
    scene = context.scene
    frame_of = {name: scene.cache.image(image_id).frame_id for name, image_id in scene.id_of.items()}
    left = frozenset(scene.id_of) - taken
    found: list[Cluster] = []
    for component in scene.view_graph.restricted(left).components():
        if len(component) >= _MIN_IMAGES:
            found += partition(scene.view_graph, component, frame_of, cluster_size=config.cluster_size)
    return sorted(found, key=lambda cluster: (-len(cluster.names), min(cluster.core)))


def _with_rest(
    context: MappingContext, models: Sequence[Submodel], everyone: frozenset[str]
) -> list[Submodel]:
    """The models, grown by the images that no cluster's model has."""
    grown: list[Submodel] = []
    taken = frozenset().union(*(submodel.names for submodel in models))
    for submodel in models:
        rest = everyone - taken
        near = context.scene.view_graph.component(min(submodel.names)) if rest else set()
        if not submodel.is_depth_only and rest & near:
            extend(context, submodel, submodel.names | (rest & near))
            judged(context, submodel)
            taken |= submodel.names
        grown.append(submodel)
    return grown
