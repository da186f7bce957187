"""The events of a run by image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx

from retrieval import Pair

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PairTry:
    """One pair that was matched."""

    pair: Pair
    reason: str
    """Why it was matched: a `retrieval.Reason`."""
    round: int
    num_matches: int
    num_inliers: int
    """Matches that agree with one two-view geometry; 0 when the pair was refused."""
    config: str
    """COLMAP's kind of two-view geometry."""
    why: str = ""
    """Why the matcher gave the pair up before verification, or empty."""
    failed: bool = False
    """Whether the cause is the run, such as too little memory, and not the images."""

    @property
    def verified(self) -> bool:
        """True when the pair went into the view graph."""
        return self.num_inliers > 0

    @property
    def layer(self) -> str:
        """Layer of a picture: the reason of verified pairs, or `refused`."""
        return self.reason if self.verified else "refused"

    def other(self, name: str) -> str:
        """The photo of the pair that isn't `name`."""
        return self.pair.b if name == self.pair.a else self.pair.a


class History:
    """Events of one run, indexed as they come: an event sink, which can also read the events of a file.

    Attributes:
        photos: the `photo` event of each readable photo.
        skipped: reason by file that was left out.
        keypoints: number by photo; None where COLMAP could not read it.
        scores: retrieval's similarity of each proposed pair.
        pairs: the pairs that were matched, latest result.
        registered: the `registered` event of each photo that is in a model.
        rejected: failed attempts to register, by photo, in order.
        filtered: why a photo was taken out of its model again, by photo.
        split: the `split` event of the part that a photo was taken off a model with.
        relocated: the `relocated` event of the part of its model that a photo was moved with.
        dropped: the `dropped_model` event of the last model that a photo was lost with.
        requests: what the closed loop asked for, by photo.
        inconsistent_pairs: the `inconsistent_pair` events of the pairs of each image, in order of score.
        intrinsics: the `intrinsics` events of the models that were kept, in order.
        stopped: why alignments ended early, each reason once, in words for the user.
        lost: matched pairs that an alignment went without, for a reason of this run.
        metric_models: indices of the models that depth has scaled to metres.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.photos: dict[str, Event] = {}
        self.skipped: dict[str, str] = {}
        self.keypoints: dict[str, int | None] = {}
        self.scores: dict[Pair, float] = {}
        self.pairs: dict[Pair, PairTry] = {}
        self.registered: dict[str, Event] = {}
        self.rejected: defaultdict[str, list[Event]] = defaultdict(list)
        self.filtered: dict[str, str] = {}
        self.split: dict[str, Event] = {}
        self.relocated: dict[str, Event] = {}
        self.dropped: dict[str, Event] = {}
        self.requests: defaultdict[str, list[Event]] = defaultdict(list)
        self.inconsistent_pairs: defaultdict[str, list[Event]] = defaultdict(list)
        self.intrinsics: list[Event] = []
        self.metric_models: set[int] = set()
        self.stopped: list[str] = []
        self.lost: set[Pair] = set()
        self._tries: defaultdict[str, dict[Pair, PairTry]] = defaultdict(dict)
        for event in events:
            self._read(event)

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Index one event."""
        self._read({"stage": stage, "event": event, **fields})

    def _read(self, event: Event) -> None:
        if reader := _READERS.get(str(event.get("event"))):
            reader(self, event)

    def tries(self, name: str) -> list[PairTry]:
        """All pairs of a photo that were matched, best first."""
        return sorted(
            self._tries.get(name, {}).values(), key=lambda t: (-t.num_inliers, -t.num_matches, t.pair)
        )

    def view_graph(self) -> nx.Graph[str]:
        """Verified pairs as a graph of all readable photos."""
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.photos)
        graph.add_edges_from(attempt.pair for attempt in self.pairs.values() if attempt.verified)
        return graph

    def _photo(self, event: Event) -> None:
        self.photos[event["name"]] = event

    def _skipped(self, event: Event) -> None:
        self.skipped[event["name"]] = event["reason"]

    def _features(self, event: Event) -> None:
        self.keypoints[event["name"]] = event["num_keypoints"]

    def _edge(self, event: Event) -> None:
        self.scores[Pair.of(event["a"], event["b"])] = event["score"]

    def _pair(self, event: Event) -> None:
        pair = Pair.of(event["a"], event["b"])
        attempt = PairTry(
            pair,
            reason=str(event["reason"]),
            round=event["round"],
            num_matches=event["num_matches"],
            num_inliers=event["num_inliers"],
            config=str(event["config"]),
            why=str(event.get("why", "")),
            failed=event.get("failed") is True,
        )
        self.pairs[pair] = self._tries[pair.a][pair] = self._tries[pair.b][pair] = attempt

    def _aligned(self, event: Event) -> None:
        if event["stopped"] and event["stopped"] not in self.stopped:
            self.stopped.append(event["stopped"])
        for a, b, why in event.get("lost", ()):
            attempt = self.pairs.get(Pair.of(a, b))
            if attempt is not None:
                attempt = replace(attempt, num_inliers=0, why=why, failed=True)
                self.lost.add(attempt.pair)
                self.pairs[attempt.pair] = self._tries[a][attempt.pair] = self._tries[b][attempt.pair] = (
                    attempt
                )

    def _request(self, event: Event) -> None:
        for name in (event["a"], event["b"]):
            self.requests[name].append(event)

    def _inconsistent_pair(self, event: Event) -> None:
        for name in (event["a"], event["b"]):
            self.inconsistent_pairs[name].append(event)

    def _registered(self, event: Event) -> None:
        # Attempts at models that were thrown away carry no model number.
        if event.get("model") is not None:
            self.registered[event["name"]] = event
            self.filtered.pop(event["name"], None)
            if event["how"] != "split":
                self.split.pop(event["name"], None)

    def _rejected(self, event: Event) -> None:
        self.rejected[event["name"]].append(event)

    def _filtered(self, event: Event) -> None:
        if event.get("model") is not None:
            self.registered.pop(event["name"], None)
            self.filtered[event["name"]] = event["why"]

    def _split(self, event: Event) -> None:
        for name in event["names"]:
            self.registered.pop(name, None)
            self.split[name] = event

    def _relocated(self, event: Event) -> None:
        if event["accepted"]:
            for name in event["names"]:
                self.relocated[name] = event

    def _intrinsics(self, event: Event) -> None:
        if event.get("model") is not None:
            self.intrinsics.append(event)

    def _dropped_model(self, event: Event) -> None:
        for name in event["names"]:
            self.dropped[name] = event

    def _metric_scale(self, event: Event) -> None:
        if isinstance(model := event.get("model"), int):
            self.metric_models.add(model)


_READERS = {
    "photo": History._photo,
    "skipped": History._skipped,
    "features": History._features,
    "edge": History._edge,
    "pair": History._pair,
    "aligned": History._aligned,
    "request": History._request,
    "inconsistent_pair": History._inconsistent_pair,
    "registered": History._registered,
    "rejected": History._rejected,
    "filtered": History._filtered,
    "split": History._split,
    "relocated": History._relocated,
    "dropped_model": History._dropped_model,
    "intrinsics": History._intrinsics,
    "metric_scale": History._metric_scale,
}
