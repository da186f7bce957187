"""Commands about models that are there already: growing, joining and placing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .arguments import Request, engine_options, shown
from .engine import require_finished
from .summary import result_lines

if TYPE_CHECKING:
    from sfm.config.schema import Config
    from sfm.pipelines.extend import Extension

_PATH = click.Path(path_type=Path)
_MAX_LISTED = 10
IMAGES = click.option(
    "--images", type=_PATH, help="Folder of MODEL's photos; needed with a COLMAP model that is no OUT."
)
"""Option of the commands that match photos with those of a model."""
DATABASE = click.option("--database", type=_PATH, help="Database of a COLMAP model, for its features.")
"""Likewise."""


@click.command("extend", short_help="Register new photos into a model.")
@engine_options("MODEL PHOTOS [KEY=VALUE]...")
@click.option("--frozen", is_flag=True, help="Keep MODEL's poses, intrinsics and points to the last bit.")
@IMAGES
@DATABASE
def extend_command(request: Request, frozen: bool, images: Path | None, database: Path | None) -> None:
    """Register new PHOTOS into MODEL; the result goes to OUT, and MODEL is only read.

    MODEL is the OUT of an earlier run, whose options then hold, or a COLMAP model folder with --images. All
    is adjusted together unless --frozen; the result stands in the frame of MODEL either way. Only pairs with
    a new photo are matched. PHOTOS that are in MODEL already are left out.

    A COLMAP model keeps its keypoints and points. Without --database its photos are described again, and a
    keypoint of the model takes the descriptor that is found where it lies.
    """
    import sfm

    model, photos = two_paths(request, "sfm extend MODEL PHOTOS -o OUT")
    output, config = model_config(request, model)
    with shown(request) as progress:
        extension = sfm.extend(
            model,
            photos,
            output=output,
            frozen=frozen,
            images=images,
            database=database,
            config=config,
            progress=progress,
        )
    if not request.quiet:
        click.echo("\n".join(_extension_lines(extension)))
    require_finished(extension.result)


@click.command("merge", short_help="Join two models into one.")
@click.argument("a", type=_PATH)
@click.argument("b", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="New folder for the result.")
@click.option("--database", type=_PATH, help="Database of both, where they share no photo.")
@click.option("--no-adjust", is_flag=True, help="Keep A to the last bit instead of adjusting all together.")
def merge_command(a: Path, b: Path, output: Path, database: Path | None, no_adjust: bool) -> None:
    """Join models A and B into one, OUTPUT/sparse/0, in the frame of A.

    A and B are each the OUT of a run, whose largest model counts, or a COLMAP model folder such as
    OUT/sparse/1. They must share photos, by name, or points by the matches of their common database. Models
    that do not fit are refused, with the figures.
    """
    import sfm

    done = sfm.merge(a, b, output=output, database=database, adjust=not no_adjust)
    fit = done.fit
    click.echo(f"joined      {done.model.num_reg_images()} photos, {done.model.num_points3D()} points")
    click.echo(
        f"in common   {fit.num_shared_photos} photos; {fit.num_inliers} of {fit.num_points} points agree"
    )
    if fit.turn_deg is not None and fit.offset is not None:
        click.echo(f"differences {fit.turn_deg:.3f} deg, {100 * fit.offset:.3f} % of the extent (median)")
    click.echo(f"error       {done.model.compute_mean_reprojection_error():.2f} px (mean)")
    click.echo(f"model       {output.expanduser().resolve() / 'sparse' / '0'}")


@click.command("align", short_help="Move a model to ground truth, another model or GPS.")
@click.argument("model", type=_PATH)
@click.option("--to", required=True, metavar="TARGET", help="A gt.json, a COLMAP model or OUT, or gps.")
@click.option("-o", "--output", type=_PATH, required=True, help="New folder for the result.")
@click.option("--images", type=_PATH, help="gps: folder of the photos, where MODEL is no OUT.")
@click.option(
    "--model",
    "number",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which, largest first.",
)
def align_command(model: Path, to: str, output: Path, images: Path | None, number: int) -> None:
    """Move, turn and scale MODEL to the positions that TARGET has of its photos; OUTPUT/sparse/0 receives it.

    With gps, TARGET is the GPS of the photos: the model comes out in metres east, north and up of an origin
    amid the photos. OUTPUT/sparse/0/georeference.json has the origin (WGS84). Photos that contradict the
    others do not count; OUTPUT/alignment.json lists how far each is off.
    """
    import sfm

    done = sfm.align(model, to, output=output, images=images, number=number)
    used = int(done.inliers.sum())
    unit = " m" if done.origin else ""
    click.echo(f"aligned     by {used} of {len(done.names)} photos, scale {done.scale:.6g}")
    click.echo(
        f"residuals   median {done.median_residual:.4g}{unit}, rms {done.rms_residual:.4g}{unit} of those "
        f"used, largest {done.residuals.max():.4g}{unit}"
    )
    if done.origin:
        place = done.origin
        click.echo(
            f"origin      {place.latitude_deg:.7f}, {place.longitude_deg:.7f}, {place.altitude_m:.2f} m"
        )
    click.echo(f"model       {output.expanduser().resolve() / 'sparse' / '0'}")


def two_paths(request: Request, usage: str) -> tuple[Path, Path]:
    """Both positional paths of a command.

    Raises:
        UsageError: there are not two.
    """
    paths = request.paths
    if len(paths) != 2:
        raise click.UsageError(f"two paths are needed, not {len(paths)}: {usage}")
    return Path(paths[0]), Path(paths[1])


def model_config(request: Request, model: Path) -> tuple[Path, Config]:
    """The output, and the options of the run that made `model` unless others are named."""
    output, record = request.output, model.expanduser() / "run.json"
    if output is None:
        raise click.UsageError("where should the result go? Give -o OUT.")
    if request.config_path is None and request.preset is None and record.is_file():
        request = replace(request, config_path=record)
    return output, request.config()


def _extension_lines(extension: Extension) -> Iterator[str]:
    new = [outcome for outcome in extension.added if outcome.status != "skipped"]
    held = "the model's poses as they were" if extension.frozen else "all poses adjusted"
    yield f"added       {extension.num_registered} of {len(new)} new photos, {held}"
    if extension.apart:
        yield f"            {len(extension.apart)} make models of their own, which nothing joins to the model"
    left = [outcome for outcome in extension.added if outcome.status != "registered"]
    yield from _listed([f"{outcome.name}: {outcome.reason or 'not registered'}" for outcome in left])
    yield from result_lines(extension.result)


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_MAX_LISTED])
    if len(lines) > _MAX_LISTED:
        yield f"  … and {len(lines) - _MAX_LISTED} more"
