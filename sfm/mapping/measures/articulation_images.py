"""Pendant parts: parts of a model whose scale relative to the rest no point determines.

All points that such a part shares with the rest are seen by one image, the articulation image. It fixes the
rotation of the part, but not its scale: no residual changes when the part shrinks towards the image. Only
points that the part and further images of the rest see determine the scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx
import numpy as np
import numpy.typing as npt
import pycolmap
import scipy.sparse as sp

from .soundness import MIN_COMMON_POINTS, observation_matrix

_MIN_IMAGES = 2  # of a part: the position of one image follows from the points that it sees
_MOST_BESIDE = 0.25
"""Largest share of the points across that the articulation image does not see, or further images of the rest
see."""


@dataclass(frozen=True, slots=True)
class PendantPart:
    """Images of a model, and the only other image with which they share points."""

    names: frozenset[str]
    articulation: str


def pendant_parts(model: pycolmap.Reconstruction) -> list[PendantPart]:
    """The pendant parts of a model, largest first, without parts of parts.

    Two images are neighbours where they share `MIN_COMMON_POINTS` points that a third image sees, too. An
    articulation point of this graph separates a part from the larger remainder. The part shares fewer than
    `MIN_COMMON_POINTS` points with the remainder, and a small share of its shared points.
    """
    images = sorted(model.reg_image_ids())
    names = [model.image(image_id).name for image_id in images]
    seen = observation_matrix(model)
    found = sorted(_cut_off(seen), key=lambda part: (-len(part[0]), min(part[0]), part[1]))
    taken: set[int] = set()
    parts = []
    for part, articulation in found:
        if taken.isdisjoint(part) and articulation not in taken:
            taken |= part
            parts.append(PendantPart(frozenset(names[i] for i in part), names[articulation]))
    return parts


def _cut_off(seen: sp.csr_array) -> Iterator[tuple[frozenset[int], int]]:
    """Columns of each part and of its articulation image; `seen` is points x images."""
    common = sp.coo_array(sp.triu(seen.T @ seen, k=1))
    near = common.data >= MIN_COMMON_POINTS
    graph: nx.Graph[int] = nx.Graph()
    graph.add_edges_from(zip(common.row[near].tolist(), common.col[near].tolist(), strict=True))
    for articulation in sorted(nx.articulation_points(graph)):
        around = graph.subgraph(nx.node_connected_component(graph, articulation) - {articulation})
        _, *parts = sorted(nx.connected_components(around), key=lambda part: (-len(part), min(part)))
        for part in parts:
            if len(part) >= _MIN_IMAGES and _is_pendant(seen, part, articulation):
                yield frozenset(part), articulation


def _is_pendant(seen: sp.csr_array, part: set[int], articulation: int) -> bool:
    """Whether hardly any shared points are seen by images of the rest other than the articulation image."""
    inside = np.zeros(seen.shape[1], dtype=np.int32)
    inside[list(part)] = 1
    outside = 1 - inside
    across: npt.NDArray[np.bool_] = ((seen @ inside) > 0) & ((seen @ outside) > 0)
    outside[articulation] = 0
    beside = np.count_nonzero(across & ((seen @ outside) > 0))
    return bool(beside < min(MIN_COMMON_POINTS, _MOST_BESIDE * np.count_nonzero(across)))
