"""The scene graph as a picture: photos where their cameras stand, pairs by why they were asked for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from sfm.history import History
from sfm.report.scene import SceneModel

Positions = dict[str, tuple[float, float]]

REFUSED = "refused"

# All in px of the picture, which the page scales to its width.
_WIDTH = 1200.0
_GAP = 20.0
_MARGIN = 36.0
_MIN_CELL, _MAX_CELL = 60.0, 150.0
_MIN_SIDE, _MAX_SIDE = 180.0, 570.0
_MAX_SPRING = 400
"""Beyond this many photos without poses, springs take too long and show only a ball."""


@dataclass(frozen=True, slots=True)
class EdgeGroup:
    """All verified pairs with one reason, or all refused ones, as one SVG path."""

    reason: str
    """A `retrieval.Reason`, or `refused`."""
    count: int
    path: str


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


def graph_picture(history: History, names: Sequence[str], models: Sequence[SceneModel]) -> GraphPicture:
    """Lay out the photos: each model in a box, as its cameras spread most, and in the last box the rest.

    Args:
        history: the pairs.
        names: all readable photos.
        models: largest first.
    """
    model_of = {name: index for index in reversed(range(len(models))) for name in models[index].names}
    groups: list[tuple[str, Positions]] = []
    for index, model in enumerate(models):
        groups.append((f"model {index}", _seen_flat(model, {n for n in names if model_of.get(n) == index})))
    rest = [name for name in names if name not in model_of]
    if rest:
        groups.append(("not registered" if models else "all photos", _without_poses(rest, history)))
    boxes, places = _pack(groups)
    return GraphPicture(
        (max((box.x + box.width for box in boxes), default=0.0) + _GAP - _WIDTH) / 2,
        _WIDTH,
        max((box.y + box.height for box in boxes), default=0.0) + _GAP,
        boxes,
        _edge_groups(history, places),
        tuple((name, *places[name], model_of.get(name, -1)) for name in names),
        tuple((t.pair.a, t.pair.b, t.num_inliers) for t in history.pairs.values() if _drawn(t.pair, places)),
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


def _without_poses(names: Sequence[str], history: History) -> Positions:
    """Photos that share pairs near each other; on a grid when there are too many or none do."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(pair for pair, t in history.pairs.items() if t.verified and {*pair} <= {*names})
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


def _drawn(pair: Pair, places: Positions) -> bool:
    return pair.a in places and pair.b in places


def _edge_groups(history: History, places: Mapping[str, tuple[float, float]]) -> tuple[EdgeGroup, ...]:
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for pair, attempt in history.pairs.items():
        if pair.a in places and pair.b in places:
            (ax, ay), (bx, by) = places[pair.a], places[pair.b]
            lines[attempt.reason if attempt.verified else REFUSED].append(f"M{ax:g} {ay:g}L{bx:g} {by:g}")
    # Refused pairs first, so that verified ones are drawn over them.
    order = sorted(lines, key=lambda reason: (reason != REFUSED, reason))
    return tuple(EdgeGroup(reason, len(lines[reason]), "".join(lines[reason])) for reason in order)
