"""What the closed loop needs of matching and mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pycolmap

from retrieval import Edge, Pair
from sfm.mapping import InconsistencyReport, ViewGraph
from sfm.matching import MatchReport
from sfm.workspace.events import EventSink

Models = Sequence[pycolmap.Reconstruction]


class Mapper(Protocol):
    """Matching and mapping on one database; `sfm.stages.register.SessionMapper` is that of a run."""

    def reconstruct(
        self,
        start: Models,
        consistency: InconsistencyReport,
        events: EventSink,
        *,
        compares: bool,
    ) -> Models:
        """Continue the models with all verified pairs, without refinement; see `sfm.mapping.reconstruct`."""

    def refine(self, models: Models, consistency: InconsistencyReport, events: EventSink) -> Models:
        """Refine the models; see `sfm.mapping.refine_models`."""

    def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        """Match and verify pairs into the database."""

    def pairs_for_again(self) -> Mapping[Pair, int]:
        """Tried pairs that a stronger matcher may match again, with their number of matches."""

    def match_again(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        """Match and verify such pairs by the stronger matcher."""

    def view_graph(self) -> ViewGraph:
        """The verified pairs of the database."""

    def inconsistent_pairs(self) -> InconsistencyReport:
        """Inconsistent pairs among the verified ones."""

    def are_wrong(self, models: Models, consistency: InconsistencyReport) -> bool:
        """Whether any model is probably folded or bent."""
