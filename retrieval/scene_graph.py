"""Pairs of photos worth matching, each with the reason why it was proposed."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import networkx as nx


class Pair(NamedTuple):
    """Two different image names in ascending order; make it with `Pair.of`."""

    a: str
    b: str

    @classmethod
    def of(cls, first: str, second: str) -> Pair:
        """The pair of two names, whichever way round they are given.

        Raises:
            ValueError: both names are the same.
        """
        if first == second:
            raise ValueError(f"an image cannot be paired with itself: {first}")
        return cls(first, second) if first < second else cls(second, first)


class Reason(enum.StrEnum):
    """Why an edge is in the scene graph: first graph, then requests of the closed loop."""

    EXHAUSTIVE = "exhaustive"
    KNN = "knn"
    ANCHOR = "anchor"
    CONNECT = "connect"
    SEQUENCE = "sequence"
    GPS = "gps"
    USER = "user"
    UNREGISTERED = "unregistered"
    BRIDGE = "bridge"
    LOOP = "loop"
    LOW_OVERLAP = "low_overlap"
    VERIFY = "verify"
    """Of earlier versions."""

    @classmethod
    def _missing_(cls, value: object) -> Reason | None:
        """The reason that earlier versions wrote under another name."""
        earlier = {"orphan": cls.UNREGISTERED, "weak": cls.LOW_OVERLAP, "suspect": cls.VERIFY}
        return earlier.get(str(value))


@dataclass(frozen=True, slots=True)
class Edge:
    """A proposed pair: similarity in [0, 1] (0 when unknown), why, and in which round of the loop."""

    score: float
    reason: Reason
    round: int = 0


Edges = dict[Pair, Edge]


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """Images and the pairs proposed between them; immutable, grown by `merged`."""

    images: tuple[str, ...]
    edges: Mapping[Pair, Edge] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.edges)

    def __iter__(self) -> Iterator[Pair]:
        return iter(sorted(self.edges))

    def merged(self, pairs: Mapping[Pair, Edge]) -> SceneGraph:
        """This graph and `pairs`; an edge already here keeps its first reason and round."""
        return SceneGraph(self.images, {**pairs, **self.edges})

    def to_networkx(self) -> nx.Graph[str]:
        """Undirected graph; edge attributes `score`, `reason` (str) and `round`."""
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.images)
        for pair, edge in self.edges.items():
            graph.add_edge(pair.a, pair.b, score=edge.score, reason=str(edge.reason), round=edge.round)
        return graph

    def components(self) -> list[set[str]]:
        """Connected sets of images, largest first, ties by name."""
        parts = nx.connected_components(self.to_networkx())
        return sorted((set(c) for c in parts), key=lambda c: (-len(c), min(c)))
