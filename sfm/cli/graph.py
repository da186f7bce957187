"""The command about the graph of a result: pairs by their fate, components, bridges and weak links."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sfm.pairs.connectivity import Connectivity, GraphFigures, Tally

_PATH = click.Path(path_type=Path)
_MAX_LISTED = 10


@click.command("graph", short_help="Show how the photos of OUT are connected.")
@click.argument("out", type=_PATH)
@click.option(
    "-o", "--output", type=_PATH, help="Folder for graph.graphml and graph.svg; OUT when not given."
)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def graph_command(out: Path, output: Path | None, as_json: bool) -> None:
    """How the photos of OUT are connected: pairs by reason, components, weak links.

    Writes the scene graph (pairs proposed) and the view graph (pairs verified) as one GraphML file, and a
    picture of them as SVG. The run in OUT need not have finished.
    """
    import sfm

    report = sfm.graph(out, destination=output)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
        return
    click.echo("\n".join(_lines(report.figures)))
    click.echo(f"graph       {report.graphml.resolve()}\npicture     {report.picture.resolve()}")


def _lines(figures: Connectivity) -> Iterator[str]:
    from sfm.report.graphs import counted_pairs

    yield f"photos      {figures.num_photos}"
    yield f"pairs       {counted_pairs(figures)}"
    yield f"scene graph {_described(figures.scene_graph)}"
    yield f"view graph  {_described(figures.view_graph)}"
    yield from _table("reason", figures.reasons)
    if len(figures.rounds) > 1:
        yield from _table("round", {str(number): tally for number, tally in figures.rounds.items()})
    if figures.bridges:
        yield f"only links  {len(figures.bridges)}, without which the view graph falls apart"
    for bridge in figures.bridges[:_MAX_LISTED]:
        photos = "1 photo" if bridge.cut_off == 1 else f"{bridge.cut_off} photos"
        yield f"  {bridge.pair.a} - {bridge.pair.b}: {bridge.num_inliers} inliers, holds {photos}"
    yield from _rest(len(figures.bridges))
    if figures.unlinked:
        yield f"alone       {len(figures.unlinked)} without any verified pair"
    for name, tried in list(figures.unlinked.items())[:_MAX_LISTED]:
        yield f"  {name}: {tried} tried"
    yield from _rest(len(figures.unlinked))


def _described(graph: GraphFigures) -> str:
    degrees = f"{graph.min_degree} to {graph.max_degree} pairs a photo, median {graph.median_degree:g}"
    if len(graph.components) <= 1:
        return f"in one piece; {degrees}"
    parts = [str(size) for size in graph.components if size > 1]
    singles = len(graph.components) - len(parts)
    sizes = parts[:_MAX_LISTED] + ["…"] * (len(parts) > _MAX_LISTED)
    words = [f"{', '.join(sizes)} photos"] * bool(parts) + [f"{singles} single"] * bool(singles)
    return f"{len(graph.components)} components ({' and '.join(words)}); {degrees}"


def _table(title: str, rows: Mapping[str, Tally]) -> Iterator[str]:
    if rows:
        yield f"  {title:<12}{'proposed':>9}{'matched':>9}{'verified':>9}"
    for name, tally in rows.items():
        share = f"  {100 * tally.share:.0f} %" if tally.matched else ""
        yield f"  {name:<12}{tally.proposed:>9}{tally.matched:>9}{tally.verified:>9}{share}"


def _rest(count: int) -> Iterator[str]:
    if count > _MAX_LISTED:
        yield f"  and {count - _MAX_LISTED} more; --json lists all"
