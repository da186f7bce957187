"""One cluster and its models in a folder, as they pass between processes."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

from sfm.colmap.model_files import read_whole_model
from sfm.config.schema import RegisterConfig

from ..depth.keypoint_depth import KeypointDepth
from ..growing.components import new_models
from ..growing.reversed_motion import best_of_motions
from ..growing.submodels import MAX_CONTRADICTED, MappingContext, Submodel
from ..scene.journal import Journal
from ..scene.options import MapperOptions, with_threads
from ..scene.part_database import write_part
from ..scene.scene import Scene

_NEARLY_ALL = 0.95  # of a cluster: what is missing may find its place beside the other clusters

_DATABASE, _TASK, _STORY = "part.db", "task.pickle", "story.json"


@dataclass(frozen=True, slots=True)
class ClusterModels:
    """What became of a cluster."""

    submodels: list[Submodel]
    """Its models, largest first."""
    discarded: Journal
    """Of the models that were given up."""
    seconds: float
    cpu_s: float
    """Of the process that mapped it."""


@dataclass(frozen=True, slots=True)
class _Task:
    config: RegisterConfig
    options: MapperOptions
    depth: KeypointDepth | None
    unknown_focal: Set[int]


def write_task(
    folder: Path, context: MappingContext, config: RegisterConfig, names: Set[str], *, threads: int
) -> None:
    """All that mapping a cluster needs, in a new folder."""
    folder.mkdir(parents=True)
    write_part(context.scene, names, folder / _DATABASE)
    options, depth = with_threads(context.options, threads), KeypointDepth.of(context.scene, names)
    task = _Task(config, options, depth, context.unknown_focal)
    (folder / _TASK).write_bytes(pickle.dumps(task))


def map_task(folder: Path, on_registered: Callable[[str], None]) -> None:
    """Map the cluster and leave its models in the folder; the story is written last."""
    started, cpu_started = time.monotonic(), time.process_time()
    # Written by `write_task`, in a folder that this run has made and locked.
    task: _Task = pickle.loads((folder / _TASK).read_bytes())
    scene = Scene.open(folder / _DATABASE, task.depth)
    context = MappingContext(scene, task.options, on_registered, unknown_focal=task.unknown_focal)
    discarded = Journal()
    submodels = _models(context, task.config, discarded)
    stories = []
    for index, submodel in enumerate(submodels):
        (folder / str(index)).mkdir(exist_ok=True)
        submodel.reconstruction.write(folder / str(index))
        stories.append(
            {
                "journal": submodel.journal.entries,
                "from_depth": submodel.is_depth_only,
                "contradicted": submodel.contradicted,
            }
        )
    story = {
        "models": stories,
        "discarded": discarded.entries,
        "seconds": round(time.monotonic() - started, 3),
        "cpu_s": round(time.process_time() - cpu_started, 3),
    }
    (folder / _STORY).write_text(json.dumps(story, default=str), encoding="utf-8")


def is_mapped(folder: Path) -> bool:
    """Whether the cluster's models are there."""
    return (folder / _STORY).is_file()


def read_models(folder: Path) -> ClusterModels:
    """The models of a mapped cluster."""
    story = json.loads((folder / _STORY).read_text(encoding="utf-8"))
    submodels = []
    for index, told in enumerate(story["models"]):
        model = read_whole_model(folder / str(index))
        journal = Journal([(event, fields) for event, fields in told["journal"]])
        names = frozenset(model.image(i).name for i in model.reg_image_ids())
        submodels.append(Submodel(None, model, journal, names, told["from_depth"], told["contradicted"]))
    discarded = Journal([(event, fields) for event, fields in story["discarded"]])
    return ClusterModels(submodels, discarded, story["seconds"], story["cpu_s"])


def _models(context: MappingContext, config: RegisterConfig, discarded: Journal) -> list[Submodel]:
    everyone = frozenset(context.scene.id_of)
    first = best_of_motions(context, everyone, discarded, max_trials=1)
    if (
        first is not None
        and len(first.names) >= _NEARLY_ALL * len(everyone)
        and first.contradicted <= MAX_CONTRADICTED
    ):
        return [first]
    return sorted(new_models(context, config, (), discarded), key=lambda submodel: -len(submodel.names))
