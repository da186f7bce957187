"""One run in progress: its workspace, options, the times of its stages, and what failed without ending it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from sfm.config.schema import Config
from sfm.files.changes import FileState
from sfm.ingest.grey_photos import GreyPhotos
from sfm.mapping import ExistingModels, PhotoSource
from sfm.matching import Backend
from sfm.pairs.history import History
from sfm.report.record import peak_memory_mb
from sfm.stages.known_poses import KnownPoses
from sfm.stages.round_messages import RoundMessages
from sfm.types import StageReport
from sfm.workspace import interruption
from sfm.workspace.failures import StepFailure, noted
from sfm.workspace.progress import Progress, SilentProgress
from sfm.workspace.sharing import Sharing
from sfm.workspace.workspace import Workspace, os_errors_as_workspace_errors

AnyPath = str | os.PathLike[str]

SILENT = SilentProgress()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or a decorator, in which NumPy and SciPy solve linear systems on one thread.

    Ours have at most some hundred unknowns. Several threads take longer for these, and most of what they
    compute is waiting. The last bits of a result also depend on their number.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@dataclass(slots=True)
class Session:
    """One run in progress: its workspace, options and the times of the stages so far."""

    workspace: Workspace
    config: Config
    progress: Progress
    stages: list[StageReport] = field(default_factory=list)
    failures: list[StepFailure] = field(default_factory=list)
    """Steps that failed after there were models, which are the user's all the same."""
    files: dict[str, FileState] = field(default_factory=dict)
    """Of the photos, as they were when they were read."""
    started: float = field(default_factory=time.monotonic)
    history: History = field(default_factory=History)
    """Of this run, kept in memory as its events come."""
    photos: PhotoSource | None = None
    """By whose appearance placements are judged."""

    def __post_init__(self) -> None:
        self.workspace.event_sinks += [self.history, RoundMessages(self.progress)]

    @property
    def threads(self) -> int:
        """Threads to use."""
        return self.config.run.num_threads

    @property
    def backend_name(self) -> str:
        """The matcher of this run; none where matches were given."""
        return ""

    @property
    def notice(self) -> str:
        """A notice for users of the result, such as a license."""
        return ""

    @property
    def sharing(self) -> Sharing:
        """Writes what is made to be shared."""
        return Sharing(self.workspace, self.config)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, int | float]]:
        """Time a stage; what the block puts into the mapping are its counts.

        Raises:
            KeyboardInterrupt: one was asked for before the stage ended.
        """
        interruption.check()
        started = time.monotonic()
        counts: dict[str, int | float] = {}
        yield counts
        interruption.check()
        self.workspace.note_parts()
        seconds = round(time.monotonic() - started, 3)
        self.stages.append(StageReport(name, seconds, counts, peak_memory_mb()))
        self.workspace.events.emit(name, "stage", seconds=seconds, counts=counts)

    @contextmanager
    def survived(self, step: str) -> Iterator[None]:
        """A step that finished models do without: whatever it raises is noted, and the run goes on.

        What the block assigns must have a value before it, which then stays.

        Raises:
            KeyboardInterrupt: one was asked for.
        """
        try:
            with os_errors_as_workspace_errors(self.workspace.root):
                yield
        except Exception as error:
            interruption.check()
            self.failures.append(noted(step, error, self.workspace))

    @contextmanager
    def survived_stage(self, name: str) -> Iterator[dict[str, int | float]]:
        """A stage (`stage`) that finished models do without (`survived`)."""
        with self.survived(name), self.stage(name) as counts:
            yield counts


@dataclass(frozen=True, slots=True)
class ImageAddition:
    """Models that a run begins with instead of with none."""

    existing: ExistingModels
    new: frozenset[str]
    """Photos that are to be added: every pair that is asked for has one of them."""
    key: str
    """Of the models' content, and of how they may change."""


@dataclass(slots=True)
class PhotoSession(Session):
    """A run that starts from photos, with what describes and matches them."""

    backend: Backend = field(kw_only=True)
    poses: KnownPoses | None = None
    """Known poses that registration begins with."""

    def __post_init__(self) -> None:
        Session.__post_init__(self)
        self.photos = GreyPhotos(self.workspace.images)

    @property
    def backend_name(self) -> str:
        """The matcher of this run."""
        return self.backend.name

    @property
    def notice(self) -> str:
        """The notice that the license of the matcher requires."""
        return self.backend.notice
