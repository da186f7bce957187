"""Connectivity of the images of a workspace: the figures of `sfm graph`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import networkx as nx

from retrieval import Pair
from sfm.pairs.pair_states import PairState


@dataclass(frozen=True, slots=True)
class Tally:
    """Pairs that have something in common: how many were proposed, matched, and kept."""

    proposed: int
    matched: int
    verified: int

    @classmethod
    def of(cls, states: Iterable[PairState]) -> Tally:
        """Counts of these pairs."""
        listed = list(states)
        return cls(len(listed), sum(s.matched for s in listed), sum(s.verified for s in listed))

    @property
    def share(self) -> float:
        """Verified pairs of those matched; 0 when none was."""
        return self.verified / max(self.matched, 1)


@dataclass(frozen=True, slots=True)
class GraphFigures:
    """One graph of the photos: the scene graph (proposed pairs) or the view graph (verified ones)."""

    pairs: int
    components: tuple[int, ...]
    """Numbers of photos, largest first; a photo without pairs is one too."""
    min_degree: int
    median_degree: float
    max_degree: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """A verified pair that alone holds two parts together."""

    pair: Pair
    num_inliers: int
    cut_off: int
    """Photos of the smaller part."""


@dataclass(frozen=True, slots=True)
class Connectivity:
    """Everything that `sfm graph` reports."""

    num_photos: int
    total: Tally
    reasons: Mapping[str, Tally]
    """By reason, most pairs first."""
    rounds: Mapping[int, Tally]
    """By round of the loop, where it is known; 0 is the first graph."""
    scene_graph: GraphFigures
    view_graph: GraphFigures
    bridges: tuple[Bridge, ...]
    """Those that would cut off most first."""
    unlinked: Mapping[str, int]
    """Photos without any verified pair, and how many of their pairs were matched."""

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        record = asdict(self)
        possible = self.num_photos * (self.num_photos - 1) // 2
        tallies = {"total": self.total, **self.reasons}
        shares = {name: round(tally.share, 4) for name, tally in tallies.items()}
        bridges = [
            {"a": b.pair.a, "b": b.pair.b, "num_inliers": b.num_inliers, "cut_off": b.cut_off}
            for b in self.bridges
        ]
        return {**record, "bridges": bridges, "possible_pairs": possible, "verified_share": shares}


def connectivity(names: Sequence[str], pairs: Mapping[Pair, PairState]) -> Connectivity:
    """Figures of the pairs between photos.

    Args:
        names: all photos.
        pairs: of them.
    """
    verified = {pair: state for pair, state in pairs.items() if state.verified}
    scene, view = _graph(names, pairs), _graph(names, verified)
    tried = _graph(names, [pair for pair, state in pairs.items() if state.matched])
    reasons = sorted({state.reason for state in pairs.values()})
    by_reason = {r: Tally.of(s for s in pairs.values() if s.reason == r) for r in reasons}
    proposed = [state for state in pairs.values() if state.edge is not None]
    rounds = sorted({state.edge.round for state in proposed if state.edge is not None})
    return Connectivity(
        num_photos=len(names),
        total=Tally.of(pairs.values()),
        reasons=dict(sorted(by_reason.items(), key=lambda item: -item[1].proposed)),
        rounds={r: Tally.of(s for s in proposed if s.edge is not None and s.edge.round == r) for r in rounds},
        scene_graph=_figures(scene),
        view_graph=_figures(view),
        bridges=tuple(_bridges(view, verified)),
        unlinked={name: tried.degree[name] for name in sorted(names) if view.degree[name] == 0},
    )


def _graph(names: Sequence[str], pairs: Iterable[Pair]) -> nx.Graph[str]:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(pairs)
    return graph


def _figures(graph: nx.Graph[str]) -> GraphFigures:
    degrees = [degree for _, degree in graph.degree] or [0]
    parts = sorted((len(part) for part in nx.connected_components(graph)), reverse=True)
    return GraphFigures(
        graph.number_of_edges(), tuple(parts), min(degrees), float(median(degrees)), max(degrees)
    )


def _bridges(view: nx.Graph[str], verified: Mapping[Pair, PairState]) -> list[Bridge]:
    links = [Pair.of(*ends) for ends in nx.bridges(view)]
    rest = view.copy()
    rest.remove_edges_from(links)
    part_of = {name: part for part, names in enumerate(nx.connected_components(rest)) for name in names}
    below = _sizes_below(part_of, links)
    found = [Bridge(pair, verified[pair].num_inliers, below[pair]) for pair in links]
    return sorted(found, key=lambda bridge: (-bridge.cut_off, bridge.pair))


def _sizes_below(part_of: Mapping[str, int], links: Sequence[Pair]) -> dict[Pair, int]:
    """Photos on the smaller side of each bridge, by way of the tree of parts; in linear time."""
    tree: nx.Graph[int] = nx.Graph()
    tree.add_nodes_from(part_of.values())
    tree.add_edges_from((part_of[pair.a], part_of[pair.b]) for pair in links)
    size = dict.fromkeys(tree, 0)
    for part in part_of.values():
        size[part] += 1
    smaller: dict[frozenset[int], int] = {}
    for whole in nx.connected_components(tree):
        root, total = min(whole), sum(size[part] for part in whole)
        below = {part: size[part] for part in whole}
        for parent, child in reversed(list(nx.bfs_edges(tree, root))):
            below[parent] += below[child]
            smaller[frozenset((parent, child))] = min(below[child], total - below[child])
    return {pair: smaller[frozenset((part_of[pair.a], part_of[pair.b]))] for pair in links}
