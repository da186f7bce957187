"""`sfm localize`: poses of photos against a model, or against one other photo."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import degrees, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sfm.errors import ReconstructionError

from .arguments import Request, engine_options, shown
from .models import DATABASE, IMAGES, model_config, two_paths

if TYPE_CHECKING:
    from sfm.pipelines.localize import Localisation, NotLocalised
    from sfm.pipelines.localize_photo import PhotoLocalisation
    from sfm.pipelines.query_pose import QueryPose

_PATH = click.Path(path_type=Path)


@click.command("localize", short_help="Estimate poses of photos against a fixed model, or another photo.")
@engine_options("[MODEL PHOTOS] [KEY=VALUE]...")
@IMAGES
@DATABASE
@click.option("--reference", type=_PATH, metavar="PHOTO", help="Localise against this photo.")
@click.option(
    "--query", "queries", type=_PATH, metavar="PHOTO", multiple=True, help="With --reference; repeat it."
)
@click.option(
    "--intrinsics",
    type=_PATH,
    metavar="FILE",
    help="Lines PHOTO fx fy cx cy WIDTH HEIGHT, px, or PHOTO MODEL WIDTH HEIGHT PARAMS...; with one photo as "
    "reference for it, too.",
)
@click.option(
    "--partners",
    type=click.IntRange(min=1),
    metavar="N",
    help="Photos of MODEL that a query is compared with; 20 with --dense, else 8 and then 12 more.",
)
@click.option("--dense", is_flag=True, help="Ask the mast3r network for every point of the model near by.")
@click.option("--coarse-to-fine", is_flag=True, help="With --dense: again in windows of large photos.")
@click.option(
    "--depth",
    type=_PATH,
    metavar="FOLDER",
    help="With --dense: ask for pixels with depth of sfm export --to views, not for points of MODEL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the poses as JSON instead of a table.")
def localize_command(
    request: Request,
    images: Path | None,
    database: Path | None,
    reference: Path | None,
    queries: tuple[Path, ...],
    intrinsics: Path | None,
    partners: int | None,
    dense: bool,
    coarse_to_fine: bool,
    depth: Path | None,
    as_json: bool,
) -> None:
    """Poses of PHOTOS against MODEL, which stays as it is; each photo independently of the others.

    Arguments as for `sfm extend`. OUT/poses.json receives, for each photo, its pose or why there is none. A
    pose is cam_from_world as COLMAP has it, with its inliers. Its covariance, 6 x 6, is of a rotation vector
    in rad and the translation in MODEL's unit, both in the camera's frame. The covariance comes from the
    scatter of the inliers and takes the points of MODEL for exact: where they are not, it is too small.
    Unknown focal lengths are estimated. Partners are the most similar photos, or with retrieval.mode=pairs
    those beside a query in retrieval.pairs_file. With --dense (backend mast3r) the network is asked where
    each point that they see lies in the query; points found so are many more than keypoints.
    --coarse-to-fine asks again in windows at full size, slowly without a GPU.

    \b
    sfm localize MODEL PHOTOS -o OUT
    sfm localize --reference A.jpg --query B.jpg [--intrinsics FILE] [-o OUT]

    With --reference there is no model: the camera of that photo is the world, and lengths are metres, by the
    depth that the mast3r backend sees. The covariance takes given intrinsics for exact, holds the error of
    others, and cannot know an error of scale that the depth of both photos shares. -o OUT may be left out.
    """
    if reference is not None or queries:
        of_model = (images, database, partners, dense or None, coarse_to_fine or None, depth)
        _by_photo(request, reference, queries, intrinsics, of_model, as_json=as_json)
        return
    import sfm

    model, photos = two_paths(request, "sfm localize MODEL PHOTOS -o OUT")
    output, config = model_config(request, model)
    with shown(request) as progress:
        found = sfm.localize(
            model,
            photos,
            output=output,
            images=images,
            database=database,
            intrinsics=intrinsics,
            partners=partners,
            dense=dense,
            coarse_to_fine=coarse_to_fine or None,
            depth=depth,
            config=config,
            progress=progress,
        )
    if as_json:
        click.echo((output / "poses.json").read_text(encoding="utf-8"))
    elif not request.quiet:
        click.echo("\n".join(_model_lines(found)))
    _require_some(found, f"{output / 'poses.json'} has the reason for each photo")


def _by_photo(
    request: Request,
    reference: Path | None,
    queries: Sequence[Path],
    intrinsics: Path | None,
    of_model: Sequence[object],
    *,
    as_json: bool,
) -> None:
    """Localise against one photo; `of_model`: options that need a model, None where they are not given."""
    import sfm

    usage = "sfm localize --reference A.jpg --query B.jpg [--intrinsics FILE] [-o OUT]"
    if reference is None or not queries:
        raise click.UsageError(f"--reference and --query belong together: {usage}")
    if request.paths or any(option is not None for option in of_model):
        raise click.UsageError(f"with --reference there is no MODEL, and no option of one: {usage}")
    config = request.config(needs_output=False)
    with shown(request) as progress:
        found = sfm.localize_photo(
            reference,
            queries,
            output=request.output,
            intrinsics=intrinsics,
            config=config,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    elif not request.quiet or request.output is None:  # else the poses would be lost
        click.echo("\n".join(_photo_lines(found)))
    reasons = [f"{query.name}: {query.reason}" for query in found.queries if hasattr(query, "reason")]
    _require_some(found, "; ".join(reasons[:3]))


def _require_some(found: Localisation | PhotoLocalisation, hint: str) -> None:
    if not found.num_localised:
        count = len(found.queries)
        raise ReconstructionError(f"none of {count} photo{'s' * (count != 1)} could be localised", hint=hint)


def _model_lines(found: Localisation) -> Iterator[str]:
    from sfm.pipelines.localize import NotLocalised

    yield from _table(
        [
            (query.name, query if isinstance(query, NotLocalised) else query.pose, "")
            for query in found.queries
        ],
        "sigma centre",
    )
    yield f"poses       {found.output / 'poses.json'}"


def _photo_lines(found: PhotoLocalisation) -> Iterator[str]:
    from sfm.pipelines.localize import NotLocalised

    yield from _table(
        [
            (query.name, query, "")
            if isinstance(query, NotLocalised)
            else (query.name, query.pose, _place(query.pose, query.method))
            for query in found.queries
        ],
        "sigma m",
    )
    yield f"world       the camera of {found.reference}: x right, y down, z forward, metres"
    if found.output is not None:
        yield f"poses       {found.output / 'poses.json'}"


def _table(rows: Sequence[tuple[str, QueryPose | NotLocalised, str]], sigma_centre: str) -> Iterator[str]:
    """A line a photo: its name, its pose or why there is none, and what else there is to say."""
    from sfm.pipelines.query_pose import QueryPose

    found = sum(isinstance(pose, QueryPose) for _, pose, _ in rows)
    width = max((len(name) for name, _, _ in rows), default=0)
    yield f"localised   {found} of {len(rows)} photos"
    yield f"  {'photo':<{width}}  inliers  error px  sigma deg  {sigma_centre:>12}  focal px"
    for name, pose, more in rows:
        if isinstance(pose, QueryPose):
            angle = degrees(sqrt(float(pose.covariance[:3, :3].trace())))
            centre = sqrt(float(pose.centre_covariance.trace()))
            yield (
                f"  {name:<{width}}  {pose.num_inliers:>7}  {pose.error_px:>8.2f}  {angle:>9.4f}  "
                f"{centre:>12.4g}  {pose.camera.mean_focal_length():.1f} ({pose.intrinsics}){more}"
            )
        else:
            yield f"  {name:<{width}}  not localised: {pose.reason}"


def _place(pose: QueryPose, method: str) -> str:
    """The centre of a camera in metres, how far it is turned, and the way that found it."""
    x, y, z = pose.cam_from_world.inverse().translation
    turn = degrees(pose.cam_from_world.rotation.angle())
    return f"  at {x:.3f} {y:.3f} {z:.3f} m, turned by {turn:.2f} deg ({method})"
