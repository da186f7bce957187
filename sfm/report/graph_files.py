"""The graph of a workspace for other programs: GraphML, and a picture as SVG that needs no page around it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import networkx as nx

from retrieval import Pair
from sfm.files.atomic import atomic_write_bytes
from sfm.ingest.names import model_name
from sfm.pairs.pair_states import PairState
from sfm.report.graph import GraphPicture
from sfm.report.templates import template

_MAX_LABELLED = 60
"""Beyond this many photos names would cover each other; only tooltips have them then."""


def write_graphml(
    path: Path, names: Sequence[str], pairs: Mapping[Pair, PairState], model_of: Mapping[str, int]
) -> None:
    """Scene graph and view graph in one GraphML file, for Gephi, networkx, igraph and the like.

    Nodes carry `model` (index in OUT/sparse, -1 for none) and `verified_pairs`; edges `reason`, `round` (-1
    unknown), `score`, `matched`, `matches`, `verified`, `inliers` and `geometry` (COLMAP's configuration).

    Raises:
        WorkspaceError: the file cannot be written.
    """
    graph: nx.Graph[str] = nx.Graph()
    for name in names:
        graph.add_node(_text(name), model=model_of.get(name, -1), verified_pairs=0)
    for pair, state in pairs.items():
        edge, record = state.edge, state.record
        graph.add_edge(
            _text(pair.a),
            _text(pair.b),
            reason=state.reason,
            round=edge.round if edge else -1,
            score=float(edge.score) if edge else 0.0,
            matched=state.matched,
            matches=record.num_matches if record else 0,
            verified=state.verified,
            inliers=state.num_inliers,
            geometry=record.config if record else "",
        )
        if state.verified:
            for name in pair:
                graph.nodes[_text(name)]["verified_pairs"] += 1
    buffer = io.BytesIO()
    nx.write_graphml_xml(graph, buffer)
    atomic_write_bytes(path, buffer.getvalue())


def _text(name: str) -> str:
    """The name as XML can hold it; our own are that already, those of others' databases needn't be."""
    return model_name(name)


def write_svg(
    path: Path, picture: GraphPicture, *, title: str, subtitle: str, bridges: Sequence[Pair]
) -> None:
    """The picture with title and legend, as a file that any browser or drawing program opens.

    `bridges` are pairs that are drawn thick.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    places = {name: (x, y) for name, x, y, _ in picture.nodes}
    linked = {name for a, b, inliers in picture.links if inliers > 0 for name in (a, b)}
    text = template("graph.svg", text=_text).render(
        picture=picture,
        title=title,
        subtitle=subtitle,
        bridges=[(places[pair.a], places[pair.b]) for pair in bridges if {*pair} <= places.keys()],
        linked=linked,
        labelled=len(places) <= _MAX_LABELLED,
        radius=5 if len(places) < 200 else 3.5,
        stem=lambda name: Path(name).stem,
    )
    atomic_write_bytes(path, text.encode("utf-8", errors="replace"))
