"""Commands that compute: the whole run, and its stages one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from .arguments import PHOTOS, Request, engine_options, one_path, photos_and_config, shown
from .summary import result_lines

if TYPE_CHECKING:
    from sfm.report.result import Result

_STRICT = 0.5
"""`register.min_probability` with --strict."""


@click.command("run", short_help="Reconstruct a folder of photos, or continue.")
@engine_options(PHOTOS)
@click.option("--strict", is_flag=True, help="Leave out photos that are likelier wrong than right.")
@click.option(
    "--as",
    "surface",
    type=click.Choice(["points", "mesh"]),
    help="Also write scene.glb, depth/ and confidence/ (preset scene does), as points or textured surfaces. "
    "`sfm export --to views` makes them with other cameras, confidence, frame or size.",
)
def run_command(request: Request, *, strict: bool, surface: Literal["points", "mesh"] | None) -> None:
    """Reconstruct a folder of photos; run again to continue or to add photos.

    PHOTOS is a folder; it may be left out where the configuration names it. KEY=VALUE overrides an option,
    such as retrieval.mode=exhaustive; `sfm config` prints all of them.
    """
    import sfm

    photos, config = photos_and_config(request)
    if strict:
        likely = max(config.register.min_probability, _STRICT)
        config = replace(config, register=replace(config.register, min_probability=likely))
    if surface is not None:
        config = replace(config, export=replace(config.export, scene=surface))
    with shown(request) as progress:
        result = sfm.run(photos, output=Path(str(config.output)), config=config, progress=progress)
    _conclude(request, result_lines(result))
    require_finished(result)


@click.command("match")
@engine_options(PHOTOS)
def match_command(request: Request) -> None:
    """Match and verify the first pairs, and stop there.

    Arguments as for `sfm run`. COLMAP's programs open the database, and `sfm map` reconstructs from it.
    """
    import sfm
    from sfm.pairs.failed_pairs import Failures

    photos, config = photos_and_config(request)
    output = Path(str(config.output))
    with shown(request) as progress:
        report = sfm.match(photos, output=output, config=config, progress=progress)
    _conclude(
        request,
        [
            f"pairs       {report.matched} matched, {report.cached} from an earlier run, "
            f"{report.verified} verified",
            *([f"failed      {Failures.of(report.failed.values()).words}"] if report.failed else []),
            f"database    {output / 'database.db'}",
        ],
    )


@click.command("map", short_help="Reconstruct from a COLMAP database.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of its photos, by which repeated places are recognised.",
)
@engine_options("DATABASE [KEY=VALUE]...")
def map_command(request: Request, images: Path | None) -> None:
    """Reconstruct from the verified pairs of a COLMAP database; the photos may be missing."""
    import sfm

    config = request.config()
    database = one_path(request.paths, "database")
    if database is None:
        raise click.UsageError("which database? sfm map DATABASE -o OUT")
    with shown(request) as progress:
        result = sfm.map_database(
            Path(database).expanduser(),
            output=Path(str(config.output)),
            images=images.expanduser() if images else None,
            config=config,
            progress=progress,
        )
    _conclude(request, result_lines(result))
    require_finished(result)


def _conclude(request: Request, lines: list[str]) -> None:
    if not request.quiet:
        click.echo("\n".join(lines))


def require_finished(result: Result) -> None:
    """End with the documented exit code where no model came out, or not all was done with those that did.

    Raises:
        ReconstructionError: there is no model; the report is written by then.
        UnfinishedError: a step failed after the models were written.
    """
    from sfm.errors import ReconstructionError
    from sfm.workspace.failures import unfinished_error

    out = result.output
    if not result.models:
        hint = f"`sfm explain {out} PHOTO` and {out / 'report.html'} show what happened to each photo"
        raise ReconstructionError(result.run.message, hint=hint)
    if result.run.failures:
        raise unfinished_error(result.run.failures, out)
