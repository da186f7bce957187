"""The scene graph as a picture: photos where their cameras stand, pairs by why they were asked for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from sfm.report.scene import SceneModel

Positions = dict[str, tuple[float, float]]

REFUSED = "refused"
PROPOSED = "proposed"

GREY = "#8c97a5"
INK: Mapping[str, str] = {
    "exhaustive": "#4f86f0",
    "knn": "#4f86f0",
    "anchor": "#1fa697",
    "connect": "#8b6cf0",
    "sequence": "#2f9ee0",
    "gps": "#4c9f50",
    "user": "#6b7a2f",
    "unregistered": "#f0862c",
    "bridge": "#e5484d",
    "loop": "#d6409f",
    "low_overlap": "#c29a1b",
    "verify": "#a15c3a",
}
"""Colour of verified pairs by reason; all others are grey."""

# All in px of the picture, which the page scales to its width.
_WIDTH = 1200.0
_GAP = 20.0
_MARGIN = 36.0
_MIN_CELL, _MAX_CELL = 60.0, 150.0
_MIN_SIDE, _MAX_SIDE = 180.0, 570.0
_MAX_SPRING = 400
"""Beyond this many photos without poses, springs take too long and show only a ball."""


class DrawnPair(Protocol):
    """What is drawn of a pair."""

    @property
    def layer(self) -> str:
        """A `retrieval.Reason` for verified pairs, `refused` or `proposed` for others."""

    @property
    def verified(self) -> bool:
        """Whether it fits one motion of the camera."""

    @property
    def num_inliers(self) -> int:
        """0 for pairs that are not verified."""


Pairs = Mapping[Pair, DrawnPair]


@dataclass(frozen=True, slots=True)
class EdgeGroup:
    """All verified pairs with one reason, all refused or all unmatched ones, as one SVG path."""

    reason: str
    """A `retrieval.Reason`, `refused` or `proposed`."""
    count: int
    path: str

    @property
    def fits(self) -> bool:
        """Whether these are verified pairs."""
        return self.reason not in (REFUSED, PROPOSED)

    @property
    def ink(self) -> str:
        """Colour of the path."""
        return INK.get(self.reason, GREY)


@dataclass(frozen=True, slots=True)
class Box:
    """A frame round a group of photos, with its title and upper left corner, px."""

    title: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class GraphPicture:
    """Everything that the page draws of the scene graph."""

    left: float
    """Left border of the picture; what it shows is in the middle."""
    width: float
    height: float
    boxes: tuple[Box, ...]
    groups: tuple[EdgeGroup, ...]
    nodes: tuple[tuple[str, float, float, int], ...]
    """Name, x, y, index of the model or -1."""
    links: tuple[tuple[str, str, int], ...]
    """The two names and the number of inliers, 0 for refused pairs."""


def graph_picture(pairs: Pairs, names: Sequence[str], models: Sequence[SceneModel]) -> GraphPicture:
    """Lay out the photos: each model in a box, as its cameras spread most, and in the last box the rest.

    `models` come largest first.
    """
    model_of = {name: index for index in reversed(range(len(models))) for name in models[index].names}
    groups: list[tuple[str, Positions]] = []
    for index, model in enumerate(models):
        # a model may have no photo, or none that is not in a larger one as well
        if own := {n for n in names if model_of.get(n) == index}:
            groups.append((f"model {index}", _seen_flat(model, own)))
    rest = [name for name in names if name not in model_of]
    if rest:
        groups.append(("not registered" if models else "all photos", _without_poses(rest, pairs)))
    boxes, places = _pack(groups)
    return GraphPicture(
        (max((box.x + box.width for box in boxes), default=0.0) + _GAP - _WIDTH) / 2,
        _WIDTH,
        max((box.y + box.height for box in boxes), default=0.0) + _GAP,
        boxes,
        _edge_groups(pairs, places),
        tuple((name, *places[name], model_of.get(name, -1)) for name in names),
        tuple((*pair, drawn.num_inliers) for pair, drawn in pairs.items() if _has_both(places, pair)),
    )


def _seen_flat(model: SceneModel, names: set[str]) -> Positions:
    """Camera centres along their two main directions, from above where that makes a difference; in [0, 1]."""
    centres = model.centres - model.centres.mean(axis=0)
    _, axes = np.linalg.eigh(centres.T @ centres)
    x, y = axes[:, 2], axes[:, 1]
    if np.cross(x, y)[2] < 0:
        y = -y
    xy = _to_unit(np.stack((centres @ x, -(centres @ y)), axis=1))
    return {n: (float(p[0]), float(p[1])) for n, p in zip(model.names, xy, strict=True) if n in names}


def _to_unit(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and scale into [0, 1]², equally along both axes; far outliers end up at the border."""
    low, high = np.quantile(xy, [0.02, 0.98], axis=0)
    extent = max(float((high - low).max()), 1e-9)
    return np.asarray(np.clip((xy - (low + high) / 2) / extent + 0.5, 0.0, 1.0))


def _without_poses(names: Sequence[str], pairs: Pairs) -> Positions:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    known = {*names}
    graph.add_edges_from(pair for pair, drawn in pairs.items() if drawn.verified and {*pair} <= known)
    if 3 <= len(names) <= _MAX_SPRING and graph.number_of_edges() * 2 >= len(names):
        placed = nx.spring_layout(graph, seed=0, iterations=60)
        xy = _to_unit(np.array([placed[name] for name in names]))
        return {name: (float(p[0]), float(p[1])) for name, p in zip(names, xy, strict=True)}
    columns = math.ceil(math.sqrt(len(names)))
    return {n: ((i % columns + 0.5) / columns, (i // columns + 0.5) / columns) for i, n in enumerate(names)}


def _pack(groups: Sequence[tuple[str, Positions]]) -> tuple[tuple[Box, ...], Positions]:
    """Boxes as wide as their number of photos asks for, in rows of at most the picture's width."""
    boxes: list[Box] = []
    placed: Positions = {}
    x = y = _GAP
    row_height = 0.0
    room = _WIDTH - _GAP * (len(groups) + 1)
    cell = room / max(sum(math.sqrt(len(places)) for _, places in groups), 1.0)
    cell = min(max(cell, _MIN_CELL), _MAX_CELL)
    for title, places in groups:
        side = min(max(math.sqrt(len(places)) * cell, _MIN_SIDE), _MAX_SIDE)
        if boxes and x + side + _GAP > _WIDTH:
            x, y, row_height = _GAP, y + row_height + _GAP, 0.0
        inner = side - 2 * _MARGIN
        top, bottom = min(v for _, v in places.values()), max(v for _, v in places.values())
        boxes.append(Box(title, x, y, side, 2 * _MARGIN + inner * (bottom - top)))
        for name, (u, v) in places.items():
            placed[name] = round(x + _MARGIN + u * inner, 1), round(y + _MARGIN + (v - top) * inner, 1)
        x, row_height = x + side + _GAP, max(row_height, boxes[-1].height)
    return tuple(boxes), placed


def _has_both(places: Positions, pair: Pair) -> bool:
    return pair.a in places and pair.b in places


def _edge_groups(pairs: Pairs, places: Positions) -> tuple[EdgeGroup, ...]:
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for pair, drawn in pairs.items():
        if _has_both(places, pair):
            (ax, ay), (bx, by) = places[pair.a], places[pair.b]
            lines[drawn.layer].append(f"M{ax:g} {ay:g}L{bx:g} {by:g}")
    # Verified pairs last, so that they are drawn over the others.
    order = sorted(lines, key=lambda layer: (layer != PROPOSED, layer != REFUSED, layer))
    return tuple(EdgeGroup(reason, len(lines[reason]), "".join(lines[reason])) for reason in order)
