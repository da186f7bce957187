"""The view graph: pairs of images that survived verification, with what is known of their relative motion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

MIN_NUM_INLIERS = 15
_GRID = 8  # cells a side of the grid on which the spread of inliers is counted

_CONFIG_NAMES = {
    2: "calibrated",
    3: "uncalibrated",
    4: "planar",
    5: "panoramic",
    6: "planar_or_panoramic",
    7: "watermark",
    8: "multiple",
}


@dataclass(frozen=True, slots=True)
class TwoView:
    """A verified pair."""

    num_inliers: int
    config: str
    """calibrated | uncalibrated | planar | panoramic | planar_or_panoramic | watermark | multiple.

    An essential matrix verified a calibrated pair; a fundamental matrix verified an uncalibrated pair, whose
    focal lengths are unknown or do not fit its matches.
    """
    spread: float
    """Share of an 8 x 8 grid over the image that holds inliers, the smaller of both images, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class ViewGraph:
    """Images and the verified pairs between them; immutable."""

    names: tuple[str, ...]
    """All images of the database, sorted, those without any edge included."""
    edges: Mapping[Pair, TwoView] = field(default_factory=dict)
    _graph: nx.Graph[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.names)
        for pair in sorted(self.edges):
            graph.add_edge(pair.a, pair.b, num_inliers=self.edges[pair].num_inliers)
        object.__setattr__(self, "_graph", graph)

    @classmethod
    def read(cls, database: Path, *, min_num_inliers: int = MIN_NUM_INLIERS) -> ViewGraph:
        """Read the verified pairs of a COLMAP database; pairs with fewer inliers are left out."""
        with pycolmap.Database.open(database) as db:
            images = {image.image_id: image for image in db.read_all_images()}
            cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
            pairs = zip(*db.read_two_view_geometries(), strict=True)
            kept = [
                (pycolmap.pair_id_to_image_pair(pair_id), geometry)
                for pair_id, geometry in pairs
                if len(geometry.inlier_matches) >= min_num_inliers
            ]
            linked = sorted({i for ids, _ in kept for i in ids})
            cells = {i: _cells(db.read_keypoints(i), cameras[images[i].camera_id]) for i in linked}
        edges: dict[Pair, TwoView] = {}
        for (id_1, id_2), geometry in kept:
            spread = _spread(cells[id_1], cells[id_2], geometry.inlier_matches)
            pair = Pair.of(images[id_1].name, images[id_2].name)
            edges[pair] = _two_view(geometry, spread)
        return cls(tuple(sorted(image.name for image in images.values())), edges)

    def __len__(self) -> int:
        return len(self.edges)

    def __contains__(self, pair: Pair) -> bool:
        return pair in self.edges

    def components(self) -> list[set[str]]:
        """Connected sets of images, largest first, ties by name; an image without edges is one too."""
        parts = (set(part) for part in nx.connected_components(self._graph))
        return sorted(parts, key=lambda part: (-len(part), min(part)))

    def component(self, name: str) -> set[str]:
        """Images connected with `name`, itself included."""
        return set(nx.node_connected_component(self._graph, name))

    def degree(self, name: str) -> int:
        """Number of verified pairs of an image."""
        return int(self._graph.degree[name]) if name in self._graph else 0

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Images that share a verified pair with `name`, most inliers first, ties by name."""
        if name not in self._graph:
            return ()
        links = self._graph.adj[name]
        return tuple(sorted(links, key=lambda other: (-links[other]["num_inliers"], other)))

    def num_inliers(self, first: str, second: str) -> int:
        """Inliers between two images, 0 when the pair isn't verified."""
        edge = self.edges.get(Pair.of(first, second))
        return 0 if edge is None else edge.num_inliers

    def support(self, name: str, registered: Set[str]) -> int:
        """How many of `registered` share a verified pair with `name`."""
        return sum(other in registered for other in self._graph.adj[name]) if name in self._graph else 0

    def bridges(self) -> list[Pair]:
        """Edges whose removal would split their component, in order."""
        return sorted(Pair.of(*edge) for edge in nx.bridges(self._graph))

    def restricted(self, names: Iterable[str]) -> ViewGraph:
        """The part of the graph between `names`."""
        kept = set(names)
        edges = {p: e for p, e in self.edges.items() if p.a in kept and p.b in kept}
        return ViewGraph(tuple(n for n in self.names if n in kept), edges)

    def without(self, pairs: Set[Pair]) -> ViewGraph:
        """The graph without some of its edges."""
        return ViewGraph(self.names, {p: e for p, e in self.edges.items() if p not in pairs})


def _two_view(geometry: pycolmap.TwoViewGeometry, spread: float) -> TwoView:
    return TwoView(
        num_inliers=len(geometry.inlier_matches),
        config=_CONFIG_NAMES.get(int(geometry.config), "undefined"),
        spread=spread,
    )


def _cells(keypoints: npt.NDArray[np.float32], camera: pycolmap.Camera) -> npt.NDArray[np.int64]:
    """Grid cell of each keypoint, (N,) int64."""
    uv = keypoints[:, :2] / (camera.width, camera.height)
    column, row = np.clip((uv * _GRID).astype(np.int64), 0, _GRID - 1).T
    return np.asarray(row * _GRID + column)


def _spread(
    cells_1: npt.NDArray[np.int64], cells_2: npt.NDArray[np.int64], matches: npt.NDArray[np.uint32]
) -> float:
    filled_1 = np.count_nonzero(np.bincount(cells_1[matches[:, 0]]))
    filled_2 = np.count_nonzero(np.bincount(cells_2[matches[:, 1]]))
    return min(filled_1, filled_2) / _GRID**2
