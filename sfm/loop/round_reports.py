"""Reports of the loop's rounds, and whether the last one changed the models."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace

from retrieval import Edge, Pair, Reason
from sfm.mapping import ViewGraph, camera_centres, shifts
from sfm.types import RoundReport
from sfm.workspace.events import EventSink

from .mapper import Models

_MOVED = 0.05
"""Of the extent of a model: an adjustment alone moves no image so far."""


class RoundReports:
    """Reports of the rounds so far, each emitted to `events` at its end."""

    def __init__(self, events: EventSink) -> None:
        self.rounds: list[RoundReport] = []
        self._events = events

    def __len__(self) -> int:
        return len(self.rounds)

    @contextmanager
    def round(
        self, edges: Mapping[Pair, Edge], view_graph: ViewGraph, models: Callable[[], Models], started: float
    ) -> Iterator[None]:
        """A round that matched these pairs; the block continues the models with those that verified.

        Args:
            edges: pairs that were matched.
            view_graph: with those of them that verified.
            models: as they are when it is called.
            started: when the round began, by `time.monotonic`.
        """
        verified = sorted(pair for pair in edges if pair in view_graph)
        num_registered, num_models = len(registered_names(models())), len(models())
        report = RoundReport(
            round=len(self.rounds) + 1,
            asked=dict(Counter(str(edge.reason) for edge in edges.values())),
            matched=len(edges),
            verified=len(verified),
            verified_by_reason=dict(Counter(str(edges[pair].reason) for pair in verified)),
            registered_before=num_registered,
            registered_after=num_registered,
            models_before=num_models,
            models_after=num_models,
            seconds=0.0,
        )
        self.rounds.append(report)
        yield
        self.rounds[-1] = replace(
            report,
            registered_after=len(registered_names(models())),
            models_after=len(models()),
            seconds=round(time.monotonic() - started, 2),
        )
        self._events.emit("loop", "round", **asdict(self.rounds[-1]))

    def has_changed(self) -> bool:
        """Whether the last round changed the models, or verified a pair between two of them."""
        last = self.rounds[-1]
        return (
            last.registered_after != last.registered_before
            or last.models_after != last.models_before
            # pairs between two models: some more may join what these do not yet
            or (last.models_after > 1 and str(Reason.BRIDGE) in last.verified_by_reason)
        )


def registered_names(models: Models) -> set[str]:
    """Names of the images registered in any of the models."""
    return {model.image(i).name for model in models for i in model.reg_image_ids()}


def have_moved(before: Models, after: Models) -> bool:
    """Whether any image has another place in its model than before, as where another model took its place."""
    centres = [[camera_centres(model) for model in models] for models in (before, after)]
    return any((shifts(*two) > _MOVED).any() for two in zip(*centres, strict=False))
