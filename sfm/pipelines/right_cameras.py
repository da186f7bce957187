"""Registration, and once more where photos turn out not to have the cameras that they were taken to share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.loop import LoopResult, Models, Rank, registered_names
from sfm.mapping import ModelEvidence, gain_of
from sfm.stages.register import SessionMapper, match_edges
from sfm.stages.session import PhotoSession
from sfm.stages.split_cameras import (
    Entry,
    OtherCameras,
    continuable,
    other_cameras,
    remember_splits,
    remembered_splits,
    take_cameras,
)
from sfm.stages.stages import matched, registered
from sfm.stages.write_results import write_refined
from sfm.types import Collection

_MAX_REGROUPINGS = 3
"""A model that wrong focal lengths bent shows them only roughly; the next one shows them well."""


def registered_with_right_cameras(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
) -> tuple[LoopResult, Collection]:
    """Models, and the collection with the cameras that they have.

    The first models are asked before anything else is done with them, and the last ones if they have more
    photos. Models of which few photos get other cameras are continued without these, others begun anew. The
    cameras before stand where registration with the others fails, or where its models are less likely right
    than those before: in a bent model, and on a flat scene, wrong cameras explain single photos better. What
    the first models ask for is judged by the next first ones, what the last ask for by the next last ones.
    """
    search = _Search(session, database, collection)
    loop = registered(session, collection, database, proposed, graph, rank, is_void=search.is_void)
    for attempt in range(_MAX_REGROUPINGS):
        found = search.found or search.asked_again(loop.models)
        if found is None:
            break
        splits, before = remembered_splits(session), search.collection
        finished = None if search.found else loop
        is_done = False
        with session.survived("registration with other cameras"):
            collection = search.take(found, is_last=attempt == _MAX_REGROUPINGS - 1)
            graph = matched(session, collection, proposed, database)
            start = continuable(loop.models, before, collection)
            loop = registered(
                session, collection, database, proposed, graph, rank, is_void=search.is_void, start=start
            )
            is_done = not search.is_worse(loop.models)
        if not is_done:
            if finished is not None:
                return put_back(session, database, before, splits, finished), before
            _restore_cameras(session, database, before, splits)
            graph = matched(session, before, proposed, database)
            return registered(session, before, database, proposed, graph, rank), before
    return loop, search.collection


@dataclass(slots=True)
class _Search:
    """The search for cameras of their own, registration after registration."""

    session: PhotoSession
    database: FeatureDatabase
    collection: Collection
    """With the cameras of the present registration."""
    found: OtherCameras | None = None
    """What the first models of the present registration ask for."""
    _are_first_worse: bool = False
    """Whether the first models with other cameras are less likely right than those before."""
    _asked: set[str] = field(default_factory=set)
    """Photos of all models that were asked."""
    _before: Sequence[ModelEvidence] | None = None
    """Of the first models with the cameras before; None: there are none to compare with."""
    _last: Sequence[ModelEvidence] | None = None
    """Of the last models with the cameras before, where these asked for others."""
    _is_last: bool = False

    def is_void(self, models: Models) -> bool:
        """Whether nothing is to follow the first models of a registration."""
        before, self._before = self._before, None
        evidence = None if before is None else self._mapper.evidence(models)
        self._are_first_worse = are_less_likely(self.session, evidence, before)
        if self._are_first_worse:
            return True
        self.found = self._asked_for(models)
        if self.found is not None:
            with self.session.survived("cameras of their own"):
                self._before = evidence or self._mapper.evidence(models)
        return self.found is not None

    def asked_again(self, models: Models) -> OtherCameras | None:
        """What the last models of a registration ask for, where they have more photos than the first ones."""
        found = None if registered_names(models) <= self._asked else self._asked_for(models)
        if found is not None:
            with self.session.survived("cameras of their own"):
                self._last = self._mapper.evidence(models)
        return found

    def is_worse(self, models: Models) -> bool:
        """Whether a registration with other cameras, of these models, is to be taken back."""
        last, self._last = self._last, None
        if last is None or self._are_first_worse or self.found is not None:
            return self._are_first_worse
        return are_less_likely(self.session, self._mapper.evidence(models), last)

    def take(self, found: OtherCameras, *, is_last: bool) -> Collection:
        """The collection with these cameras; the last one is not asked for more."""
        self.collection = take_cameras(self.session, self.database, found)
        self.found, self._is_last = None, is_last
        return self.collection

    @property
    def _mapper(self) -> SessionMapper:
        return SessionMapper(self.session, self.collection, self.database)

    def _asked_for(self, models: Models) -> OtherCameras | None:
        found = None
        if not self._is_last:
            self._asked |= registered_names(models)
            with self.session.survived("cameras of their own"):
                found = other_cameras(self.session, self.collection, self.database, models)
        return found


def are_less_likely(
    session: PhotoSession, after: Sequence[ModelEvidence] | None, before: Sequence[ModelEvidence] | None
) -> bool:
    """Whether models with other cameras are less likely right than those before; False where nobody knows."""
    if after is None or before is None or (gain := gain_of(after, before)) >= 0:
        return False
    why = f"models with other cameras are less likely right than those before (log ratio {gain:.2f})"
    session.workspace.events.emit("register", "step_refused", step="other cameras", why=why)
    return True


def put_back(
    session: PhotoSession,
    database: FeatureDatabase,
    collection: Collection,
    splits: Mapping[str, Entry],
    finished: LoopResult,
) -> LoopResult:
    """Models that were finished before other cameras were tried, with these, their pairs and their files."""
    _restore_cameras(session, database, collection, splits)
    match_edges(session, collection, database, finished.scene_graph.edges)
    return write_refined(session, finished)


def _restore_cameras(
    session: PhotoSession, database: FeatureDatabase, collection: Collection, splits: Mapping[str, Entry]
) -> None:
    """Give photos the cameras of `collection` again, and the workspace what it remembered of them."""
    remember_splits(session, splits)
    database.sync(collection, session.backend.keys())
