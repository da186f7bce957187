"""`sfm graph`: how the photos of a workspace are connected, in figures, as GraphML and as a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sfm.errors import WorkspaceError
from sfm.exports.models import model_indices, read_model
from sfm.pairs.connectivity import Connectivity, connectivity
from sfm.pairs.history import History
from sfm.pairs.pair_states import read_pair_states
from sfm.report.graph import graph_picture
from sfm.report.graph_files import write_graphml, write_svg
from sfm.report.scene import SceneModel, scene_model
from sfm.workspace.events import read_events
from sfm.workspace.workspace import MARKER, os_errors_as_workspace_errors, refuse_others


@dataclass(frozen=True, slots=True)
class GraphReport:
    """The figures, and the files written."""

    figures: Connectivity
    graphml: Path
    picture: Path

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {**self.figures.to_dict(), "graphml": str(self.graphml), "picture": str(self.picture)}


def graph(out: str | os.PathLike[str], *, destination: str | os.PathLike[str] | None = None) -> GraphReport:
    """Report the scene graph and the view graph of a workspace, whether its run has finished or not.

    Args:
        out: workspace; a run in progress there isn't disturbed.
        destination: folder for `graph.graphml` and `graph.svg`; OUT itself by default.

    Raises:
        InputError: OUT has no database, or its pairs are damaged.
        WorkspaceError: the database is not one of COLMAP's, or the files cannot be written, or files of other
            programs have their names.
    """
    out = Path(out)
    folder = out if destination is None else Path(destination)
    names, pairs = read_pair_states(out)
    figures = connectivity(names, pairs)
    scenes = _scenes(out)
    model_of = {name: index for index in reversed(range(len(scenes))) for name in scenes[index].names}
    report = GraphReport(figures, folder / "graph.graphml", folder / "graph.svg")
    picture = graph_picture(pairs, names, scenes)
    _make(folder)
    if not (folder / "cache" / MARKER).is_file():
        refuse_others(report.graphml, mark=b'attr.name="verified_pairs"')
        refuse_others(report.picture, mark=b"<desc>Made by sfm graph</desc>")
    with os_errors_as_workspace_errors(folder):
        write_graphml(report.graphml, names, pairs, model_of)
        bridges = [bridge.pair for bridge in figures.bridges]
        subtitle = f"{figures.num_photos} photos · {counted_pairs(figures)}"
        write_svg(report.picture, picture, title=out.absolute().name, subtitle=subtitle, bridges=bridges)
    return report


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if folder.is_file() else (error.strerror or str(error)).lower()
        raise WorkspaceError(
            f"{folder} cannot be used as output: {why}", hint="choose another output folder"
        ) from error


def counted_pairs(figures: Connectivity) -> str:
    """How many pairs there are and how far they have come, in words."""
    total, possible = figures.total, figures.num_photos * (figures.num_photos - 1) // 2
    of_all = f" ({100 * total.proposed / possible:.0f} % of all pairs)" if possible else ""
    of_matched = f" ({100 * total.share:.0f} % of those)" if total.matched else ""
    return (
        f"{total.proposed} proposed{of_all}, {total.matched} matched, {total.verified} verified{of_matched}"
    )


def _scenes(out: Path) -> list[SceneModel]:
    photos = History(read_events(out / "events.jsonl")).photos
    orientations = {name: int(event.get("orientation") or 1) for name, event in photos.items()}
    models = [read_model(out, index) for index in model_indices(out)]
    return [scene_model(model, orientations, max_points=0) for model in models]
