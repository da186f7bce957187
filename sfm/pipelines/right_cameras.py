"""Registration, and once more where photos turn out not to have the cameras that they were taken to share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.loop import LoopResult, Models, Rank, registered_names
from sfm.mapping import ModelEvidence, gain_of
from sfm.stages.register import SessionMapper
from sfm.stages.session import PhotoSession
from sfm.stages.split_cameras import (
    OtherCameras,
    continuable,
    other_cameras,
    remember_splits,
    remembered_splits,
    take_cameras,
)
from sfm.stages.stages import matched, registered
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
    photos. Where few photos get other cameras, the models are continued without these, else begun anew. The
    cameras before stand where registration with the others fails, or where its first models are less likely
    right than those before: in a bent model, and on a flat scene, wrong cameras explain single photos better.
    """
    search = _Search(session, database, collection)
    loop = registered(session, collection, database, proposed, graph, rank, is_void=search.is_void)
    for attempt in range(_MAX_REGROUPINGS):
        found = search.found or search.asked_again(loop.models)
        if found is None:
            break
        splits, before = remembered_splits(session), search.collection
        is_done = False
        with session.survived("registration with other cameras"):
            collection = search.take(found, is_last=attempt == _MAX_REGROUPINGS - 1)
            graph = matched(session, collection, proposed, database)
            start = continuable(loop.models, before, collection)
            loop = registered(
                session, collection, database, proposed, graph, rank, is_void=search.is_void, start=start
            )
            is_done = not search.is_worse
        if not is_done:
            remember_splits(session, splits)
            database.sync(before, session.backend.keys())
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
    is_worse: bool = False
    """Whether the first models with other cameras are less likely right than those before."""
    _asked: set[str] = field(default_factory=set)
    """Photos of all models that were asked."""
    _before: Sequence[ModelEvidence] | None = None
    """Of the first models with the cameras before; None: there are none to compare with."""
    _is_last: bool = False

    def is_void(self, models: Models) -> bool:
        """Whether nothing is to follow the first models of a registration."""
        before, self._before = self._before, None
        evidence = None if before is None else self._mapper.evidence(models)
        if before is not None and evidence is not None and self._are_less_likely(evidence, before):
            self.is_worse = True
            return True
        self.found = self._asked_for(models)
        if self.found is not None:
            with self.session.survived("cameras of their own"):
                self._before = evidence or self._mapper.evidence(models)
        return self.found is not None

    def asked_again(self, models: Models) -> OtherCameras | None:
        """What the last models of a registration ask for, where they have more photos than the first ones.

        The first models of the next registration, which have fewer photos, are not compared with these.
        """
        return None if registered_names(models) <= self._asked else self._asked_for(models)

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

    def _are_less_likely(self, after: Sequence[ModelEvidence], before: Sequence[ModelEvidence]) -> bool:
        if (gain := gain_of(after, before)) >= 0:
            return False
        why = f"models with other cameras are less likely right than those before (log ratio {gain:.2f})"
        self.session.workspace.events.emit("register", "step_refused", step="other cameras", why=why)
        return True
