"""Parts of a model that hang on a single photo: nothing says how large they are.

All that such a part shares with the rest of its model goes through one photo, the hinge. The part turns with
the hinge, so that its rotation is known, but it may shrink towards it or grow away from it, and every
observation stays where it is: what fixes a scale are points that the part and others than the hinge see.
Bundle adjustment leaves the part as it came, with small errors, however wrong that is.
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

_MIN_PHOTOS = 2  # of a part: the position of one photo follows from the points that it sees
_MOST_BESIDE = 0.25
"""Share of the points across that the hinge does not see, or others do, too: of ETH3D pipes, whose photos see
few points, parts that are in the right place have more than a third."""


@dataclass(frozen=True, slots=True)
class PendantPart:
    """Photos of a model and the one outside them through which all their points go."""

    names: frozenset[str]
    articulation: str


def pendant_parts(model: pycolmap.Reconstruction) -> list[PendantPart]:
    """The parts that hang on one photo each, the largest first; a part within another one is not named.

    Photos that see `MIN_COMMON_POINTS` points together, points of three photos at least, are neighbours. A
    part is what is cut off from the larger remainder when a hinge is taken out of this graph, as long as it
    shares fewer points than that, and a small part of all that it shares, with all of the remainder.
    """
    images = sorted(model.reg_image_ids())
    names = [model.image(image_id).name for image_id in images]
    seen = observation_matrix(model, images)
    found = sorted(_cut_off(seen), key=lambda part: (-len(part[0]), min(part[0]), part[1]))
    taken: set[int] = set()
    parts = []
    for part, articulation in found:
        if taken.isdisjoint(part) and articulation not in taken:
            taken |= part
            parts.append(PendantPart(frozenset(names[i] for i in part), names[articulation]))
    return parts


def _cut_off(seen: sp.csr_array) -> Iterator[tuple[frozenset[int], int]]:
    """Columns of each part and that of its hinge; `seen` is points x images."""
    common = sp.coo_array(sp.triu(seen.T @ seen, k=1))
    near = common.data >= MIN_COMMON_POINTS
    graph: nx.Graph[int] = nx.Graph()
    graph.add_edges_from(zip(common.row[near].tolist(), common.col[near].tolist(), strict=True))
    for articulation in sorted(nx.articulation_points(graph)):
        around = graph.subgraph(nx.node_connected_component(graph, articulation) - {articulation})
        _, *parts = sorted(nx.connected_components(around), key=lambda part: (-len(part), min(part)))
        for part in parts:
            if len(part) >= _MIN_PHOTOS and _hangs(seen, part, articulation):
                yield frozenset(part), articulation


def _hangs(seen: sp.csr_array, part: set[int], articulation: int) -> bool:
    """Whether hardly any of the points that the part shares are seen by others than the hinge."""
    inside = np.zeros(seen.shape[1], dtype=np.int32)
    inside[list(part)] = 1
    outside = 1 - inside
    across: npt.NDArray[np.bool_] = ((seen @ inside) > 0) & ((seen @ outside) > 0)
    outside[articulation] = 0
    beside = np.count_nonzero(across & ((seen @ outside) > 0))
    return bool(beside < min(MIN_COMMON_POINTS, _MOST_BESIDE * np.count_nonzero(across)))
