"""Commands about which photos belong together: pairs worth matching, and photos that look alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .arguments import PHOTOS, Request, engine_options, photos_and_config, shown

if TYPE_CHECKING:
    from retrieval import SceneGraph
    from sfm.pairs.queries import Answer, SearchResult

_TOP = 20
_MAX_LISTED = 10


@click.command("retrieve", short_help="Choose the pairs worth matching, or rank similar photos.")
@engine_options(PHOTOS)
@click.option(
    "--query",
    "queries",
    metavar="IMG",
    multiple=True,
    help="Instead, rank the photos by how much they look like this one; may be repeated.",
)
@click.option("--top", type=click.IntRange(min=1), help=f"With --query: photos to list.  [default: {_TOP}]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def retrieve_command(request: Request, queries: tuple[str, ...], top: int | None, as_json: bool) -> None:
    """Choose the pairs worth matching, or rank the photos by how much they look like one (--query).

    PHOTOS and KEY=VALUE are as for `sfm run`, and nothing is matched. retrieval.mode is retrieval,
    exhaustive, sequential, spatial, pairs (with retrieval.pairs_file), mast3r-sfm (with
    retrieval.mast3r_sfm_graph), or several joined by +.

    With --query, list the photos that look most like IMG and show them on a contact sheet, OUT/query.html.
    IMG is the path of any photo, or the name of one of PHOTOS. PHOTOS and options are those of the last
    finished run in OUT, unless others are given; with others that its matched pairs don't go with, give
    another OUT.
    """
    if queries:
        _search(request, queries, top or _TOP, as_json)
    elif top is not None:
        raise click.UsageError("--top is the number of photos that --query lists; there is no --query")
    else:
        _propose(request, as_json)


def _propose(request: Request, as_json: bool) -> None:
    import sfm

    photos, config = photos_and_config(request)
    output = Path(str(config.output))
    with shown(request) as progress:
        graph = sfm.retrieve(photos, output=output, config=config, progress=progress)
    figures = _figures(graph, output)
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    elif not request.quiet:
        reasons = Counter(str(edge.reason) for edge in graph.edges.values())
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        click.echo(
            f"pairs       {len(graph)} of {len(graph.images)} photos{f' ({counts})' if counts else ''}"
        )
        click.echo(f"connected   {_pieces(len(graph.components()))}")
        click.echo(f"each pair   {figures['pair_list']}")


def _pieces(count: int) -> str:
    return "in one piece" if count == 1 else f"{count} pieces"


def _figures(graph: SceneGraph, output: Path) -> dict[str, object]:
    from sfm.pairs.first_pairs import PAIR_LIST

    return {
        "photos": len(graph.images),
        "pairs": len(graph),
        "reasons": dict(Counter(str(edge.reason) for edge in graph.edges.values())),
        "components": len(graph.components()),
        "pair_list": str(output / PAIR_LIST),
    }


def _search(request: Request, queries: tuple[str, ...], top: int, as_json: bool) -> None:
    import sfm

    photos, config = photos_and_config(_as_in_output(request))
    with shown(request) as progress:
        result = sfm.search(
            photos, queries, output=Path(str(config.output)), top=top, config=config, progress=progress
        )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    elif not request.quiet:
        click.echo("\n".join(_lines(result, top)))


def _as_in_output(request: Request) -> Request:
    """With the options of the last finished run in OUT, where no others are named: its features are kept."""
    if request.config_path is not None or request.preset is not None or request.output is None:
        return request
    record = request.output / "run.json"
    return replace(request, config_path=record) if record.is_file() else request


def _lines(result: SearchResult, top: int) -> Iterator[str]:
    from sfm.report.contact_sheet import note

    for answer in result.answers:
        yield _title(answer)
        width = max((len(found.name) for found in answer.found), default=0)
        for found in answer.found:
            state = found.pair.words if found.pair else ""
            yield f"  {found.rank:>4}  {found.score:.4f}  {found.name:<{width}}  {state}".rstrip()
        if text := note(answer, result.num_photos, top):
            yield f"  {text}"
    yield f"sheet       {result.sheet}"


def _title(answer: Answer) -> str:
    from sfm.report.contact_sheet import counted_descriptors

    if answer.in_collection:
        return answer.name if answer.text == answer.name else f"{answer.text} ({answer.name})"
    return f"{answer.text} (not in the collection, {counted_descriptors(answer)})"
