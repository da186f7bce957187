"""Rounds of the loop on disk, so that a killed run continues after its last finished round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pycolmap

from sfm.colmap.model_files import read_whole_model
from sfm.errors import InputError, WorkspaceError
from sfm.files.atomic import atomic_folder, atomic_write_json
from sfm.untrusted.documents import read_json
from sfm.workspace.events import EventLog, EventSink, Tee, replay

from .mapper import Models
from .pair_plan import PairPlan

_START = "start"
_EVENTS = "events.jsonl"


class KeptRounds:
    """Results of rounds under `folder/<number>/`: made once, read back ever after.

    A new result is read back, too, so that an interrupted and an undisturbed run go on from the same numbers.

    Raises:
        WorkspaceError: from whatever reads, files that are damaged. What one round left cannot be made again
            alone: by then the view graph holds what later rounds found.
    """

    def __init__(self, folder: Path, events: EventSink) -> None:
        """Rounds in `folder`; `events` receives the events of their models, also of those that are read."""
        self._folder = folder
        self._events = events
        self._latest: Path | None = None

    def models(
        self, number: int, name: str, make: Callable[[EventSink], Models]
    ) -> list[pycolmap.Reconstruction]:
        """The models that were kept under a name in a round, or else what `make` returns."""
        done = self._round(number) / name
        if done.exists():
            replay(done / _EVENTS, self._events)
        else:
            with atomic_folder(done) as scratch:
                _write(make(Tee(self._events, EventLog(scratch / _EVENTS))), scratch)
        self._latest = done
        return self.latest()

    def start(self, models: Models) -> list[pycolmap.Reconstruction]:
        """Models to begin with: those that were kept as such, or else these, which are kept."""
        kept = self._folder / _START
        if not kept.exists():
            if not models:
                return []
            with atomic_folder(kept) as scratch:
                _write(models, scratch)
        return self._read(kept)

    def latest(self) -> list[pycolmap.Reconstruction]:
        """The models that `models` gave last, as they were then; none before that."""
        return [] if self._latest is None else self._read(self._latest)

    def plan(self, number: int, stage: str, make: Callable[[], PairPlan]) -> PairPlan:
        """What a round may match in a stage, or else what `make` returns, written before any is matched.

        A round that matches nothing is followed by one of the next stage with the same number.
        """
        path = self._round(number) / f"plan_of_{stage}.json"
        if path.exists():
            with self._damage_named(path):
                return PairPlan.from_json(read_json(path))
        plan = make()
        atomic_write_json(path, plan.to_json())
        return plan

    def _read(self, folder: Path) -> list[pycolmap.Reconstruction]:
        with self._damage_named(folder):
            paths = sorted(
                (path for path in folder.iterdir() if path.is_dir()), key=lambda path: int(path.name)
            )
            return [read_whole_model(path) for path in paths]

    @contextmanager
    def _damage_named(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (InputError, ValueError, KeyError, TypeError) as error:
            hint = f"delete {self._folder} and run again: the rounds are then computed again"
            raise WorkspaceError(f"{path} is damaged: {error}", hint=hint) from error

    def _round(self, number: int) -> Path:
        return self._folder / f"{number:02d}"


def _write(models: Models, folder: Path) -> None:
    for index, model in enumerate(models):
        (folder / str(index)).mkdir()
        model.write(folder / str(index))
