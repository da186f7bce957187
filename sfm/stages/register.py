"""Registration in a run from photos: the mapper of its closed loop, and derived sensor poses of rigs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from retrieval import Edge, Pair
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.rigs import derive_rigs
from sfm.config.schema import Config
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.loop import LoopResult, Models, registered_names
from sfm.mapping import (
    ExistingModels,
    InconsistencyReport,
    MappingProblem,
    Measurements,
    ModelEvidence,
    ViewGraph,
    are_wrong,
    evidence_of,
    reconstruct,
    refine_models,
)
from sfm.matching import MatchReport
from sfm.pairs.failed_pairs import FailedPairs
from sfm.stages.session import PhotoSession
from sfm.stages.write_results import write_unrefined
from sfm.types import Collection
from sfm.workspace.events import EventSink


@dataclass(frozen=True, slots=True)
class SessionMapper:
    """Matching and mapping of a run from photos: the `Mapper` of its closed loop."""

    session: PhotoSession
    collection: Collection
    database: FeatureDatabase
    existing: ExistingModels | None = None
    _measured: Measurements = field(default_factory=Measurements, repr=False, compare=False)

    @property
    def problem(self) -> MappingProblem:
        """The mapping problem as it is now: matching more pairs adds depth and focal guesses."""
        session, backend, config = self.session, self.session.backend, self._config
        return MappingProblem(
            database=self.database.path,
            config=config.register,
            refine=config.refine,
            fixed_cameras=self.collection.fixed_cameras,
            cropped_cameras=self.collection.cropped_cameras,
            focal_guesses=backend.focal_guesses(self.collection),
            depth=backend.depth(self.collection),
            photos=session.photos,
            poses=backend.poses(self.collection, self.database),
            keeps_aligned=config.register.aligns and config.alignment.refine == "none",
            existing=self.existing,
            threads=session.threads,
            seed=config.run.seed,
            scratch=session.workspace.scratch,
        )

    def reconstruct(
        self,
        start: Models,
        consistency: InconsistencyReport,
        events: EventSink,
        *,
        compares: bool,
    ) -> Models:
        """Continue the models with all verified pairs, without refinement, and write them."""
        progress = self.session.progress
        result = reconstruct(
            self.problem,
            start=start,
            consistency=consistency,
            compares=compares,
            events=events,
            progress=progress,
        )
        write_unrefined(self.session, result.models)
        return result.models

    def refine(self, models: Models, consistency: InconsistencyReport, events: EventSink) -> Models:
        """Refine the models."""
        with self.session.progress.task("refine", len(models), unit="models") as task:
            refined = refine_models(self.problem, models, consistency=consistency, events=events)
            task.advance(len(models))
        return refined

    def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        """Match and verify pairs that the database does not hold yet."""
        return match_edges(self.session, self.collection, self.database, edges)

    def pairs_for_again(self) -> Mapping[Pair, int]:
        """Tried pairs that a stronger matcher may match again, with their number of matches."""
        stronger = self.session.backend.stronger
        return stronger.candidates(self.database) if stronger else {}

    def match_again(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        """Match and verify such pairs by the stronger matcher."""
        stronger = self.session.backend.stronger
        return stronger.match(edges, self.collection, self.database) if stronger else MatchReport(0, 0, {})

    def view_graph(self) -> ViewGraph:
        """The verified pairs of the database."""
        return ViewGraph.read(self.database.path)

    def inconsistent_pairs(self) -> InconsistencyReport:
        """Inconsistent pairs among the verified ones."""
        return read_inconsistent_pairs(self.database.path, measured=self._measured)

    def are_wrong(self, models: Models, consistency: InconsistencyReport) -> bool:
        """Whether any model is probably folded or bent."""
        return are_wrong(self.problem, models, consistency)

    def evidence(self, models: Models) -> Sequence[ModelEvidence] | None:
        """What speaks for the models and against them; None where probabilities of pairs are not known."""
        return evidence_of(self.problem, models, self.inconsistent_pairs())

    @property
    def _config(self) -> Config:
        config = self.session.config
        config = replace(config, register=config.register.for_photos(len(self.collection.photos)))
        return self.session.backend.adapted(config, self.collection)


def match_edges(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    edges: Mapping[Pair, Edge],
) -> MatchReport:
    """Match and verify pairs that the database does not hold yet."""
    report = session.backend.match(edges, collection, database)
    FailedPairs.read(session.workspace.cache).note(edges.keys(), report.failed.keys())
    return report


def with_derived_rigs(
    session: PhotoSession, collection: Collection, database: FeatureDatabase, loop: LoopResult
) -> LoopResult:
    """Models in which each rig moves as one, with sensor poses derived from the models without rigs."""
    if not loop.models or all(rig.has_poses for rig in collection.rigs):
        return loop
    largest, events = copy.deepcopy(loop.models[0]), session.workspace.events
    rigs = derive_rigs(database.path, collection.rigs, largest)
    if rigs is None:
        events.emit("register", "rigs", derived=False)
        return loop
    for sensor in (sensor for rig in rigs for sensor in rig.sensors):
        events.emit("register", "rig_sensor", **asdict(sensor))
    mapper = SessionMapper(session, collection, database)
    consistency = mapper.inconsistent_pairs()
    grown = mapper.reconstruct((largest,), consistency, events, compares=True)
    models = tuple(mapper.refine(grown, consistency, events))
    registered, before = registered_names(models), registered_names(loop.models)
    if len(registered) < len(before):  # cameras that are not fixed to each other
        events.emit("register", "rigs", derived=True, kept=False, lost=sorted(before - registered))
        return loop
    return replace(loop, models=models)
