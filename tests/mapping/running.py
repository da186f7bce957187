"""Mapping as tests run it: one thread, seed 0 unless they say otherwise, and what it tells recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping import (
    DepthSource,
    ExistingModels,
    InconsistencyReport,
    MappingProblem,
    MappingResult,
    reconstruct,
    refine_models,
)
from sfm.mapping.growing.submodels import MappingContext
from sfm.mapping.scene.options import mapper_options
from sfm.mapping.scene.scene import Scene
from sfm.workspace.progress import Progress, SilentProgress


def seeds(first: int, *others: int) -> pytest.MarkDecorator:
    """A test with the first seed, and with the others where there is time for them."""
    more = (pytest.param(seed, marks=pytest.mark.slow) for seed in others)
    return pytest.mark.parametrize("seed", [first, *more])


class Recorder:
    """Keeps what registration tells."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def emit(self, stage: str, event: str, **fields: object) -> None:
        assert stage == "register"
        self.events.append((event, fields))

    def of(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.events if name == event]


class Counted:
    """Progress that keeps its count."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def task(self, title: str, total: int, *, unit: str = "") -> Iterator[Counted]:
        yield self

    def advance(self, steps: int = 1) -> None:
        self.count += steps

    def message(self, text: str) -> None:
        return None


def run(
    database: Path,
    *,
    refine: RefineConfig | None = None,
    fixed_cameras: frozenset[int] = frozenset(),
    seed: int = 0,
    events: Recorder | None = None,
    progress: Progress | None = None,
    start: tuple[pycolmap.Reconstruction, ...] = (),
    focal_guesses: Mapping[int, float] | None = None,
    depth: DepthSource | None = None,
    existing: ExistingModels | None = None,
    scratch: Path | None = None,
    finished: bool = True,
    deferred: frozenset[Pair] = frozenset(),
    **options: object,
) -> MappingResult:
    """Map a database; `options` are those of registration."""
    problem = MappingProblem(
        database=database,
        config=RegisterConfig(**options),  # type: ignore[arg-type]
        refine=refine or RefineConfig(),
        fixed_cameras=fixed_cameras,
        threads=1,
        seed=seed,
        focal_guesses=focal_guesses or {},
        depth=depth,
        existing=existing,
        scratch=scratch,
    )
    events, progress = events or Recorder(), progress or SilentProgress()
    consistency = InconsistencyReport((), deferred=deferred)
    result = reconstruct(problem, start=start, consistency=consistency, events=events, progress=progress)
    if not finished:
        return result
    models = refine_models(problem, result.models, consistency=consistency, events=events)
    return MappingResult(models, result.view_graph)


def workbench(database: Path, *, fixed_cameras: frozenset[int] = frozenset()) -> MappingContext:
    """What a trial works with, as `run` would have it by default."""
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=fixed_cameras, threads=1, seed=0)
    return MappingContext(Scene.open(database), options, lambda name: None)


def names(model: pycolmap.Reconstruction) -> set[str]:
    """Of the registered photos."""
    return {model.image(i).name for i in model.reg_image_ids()}


def poses(result: MappingResult) -> dict[str, np.ndarray]:
    """`cam_from_world` (3, 4) of all registered photos."""
    return {
        i.name: i.cam_from_world().matrix() for m in result.models for i in m.images.values() if i.has_pose
    }
