"""Commands that read a finished result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sfm.exports.formats import FORMATS, refuse_options

from .arguments import complete_options, is_override

if TYPE_CHECKING:
    from sfm.exports.source import DepthOptions, Frame, Surface

_PATH = click.Path(path_type=Path)


_THREADS = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads to use; those of OUT's run when not given."
)
_EXPORT_HELP = "Write a model of OUT for another program.\n\n\b\n{}\n\n{}".format(
    "\n".join(f"{name:<12}{form.what}" for name, form in FORMATS.items()),
    "Depth is that of the alignment where one made OUT, else it comes from the network of the mast3r "
    "backend, whatever backend OUT was made with. KEY=VALUE overrides an option of that run, such as "
    "mast3r.device=cpu.",
)


@click.command("export", help=_EXPORT_HELP)
@click.argument("out", type=_PATH)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_options)
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help=f"One of {', '.join(FORMATS)}.",
    shell_complete=lambda _ctx, _param, start: [name for name in FORMATS if name.startswith(start)],
)
@click.option("-d", "--destination", type=_PATH, help="New folder; OUT/export/FORMAT when not given.")
@click.option(
    "--model", type=click.IntRange(min=0), default=0, show_default=True, help="Which of OUT/sparse."
)
@click.option("--depth", is_flag=True, help="nerfstudio: depth maps too, 16-bit PNG of the photos' size.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(min=0),
    help="views, nerfstudio --depth: depth below it is left out.  [default: 1.5]",
)
@click.option(
    "--pairs-per-view",
    type=click.IntRange(min=1),
    help="views, dense, nerfstudio --depth: pairs for the depth of a photo.  [default: 3]",
)
@click.option(
    "--points", type=click.IntRange(min=1), help="views, dense: points of the cloud.  [default: 2000000]"
)
@click.option("--full-size", is_flag=True, help="views, dense: at the photos' size, not the network's.")
@click.option("--metres", is_flag=True, help="views: scaled to metres by the network's depth.")
@click.option(
    "--as",
    "surface",
    type=click.Choice(["points", "mesh"]),
    help="views: what scene.glb shows.  [default: points]",
)
@click.option(
    "--frame",
    type=click.Choice(["upright", "first-camera"]),
    help="How scene.glb stands: y up, or seen from the first photo.  [default: upright]",
)
@click.option("--plain-cameras", is_flag=True, help="scene.glb: no photos on the planes of its cameras.")
@click.option(
    "--camera-size", type=click.FloatRange(min=0), help="scene.glb: depth of its cameras; 0 draws none."
)
@click.option(
    "--strip-gps", is_flag=True, help="3dgs, nerfstudio: take out of the photos where they were taken."
)
@_THREADS
@click.option("-q", "--quiet", is_flag=True, help="Nothing but errors.")
def export_command(
    out: Path,
    overrides: tuple[str, ...],
    to: str,
    destination: Path | None,
    model: int,
    depth: bool,
    min_confidence: float | None,
    pairs_per_view: int | None,
    points: int | None,
    full_size: bool,
    metres: bool,
    surface: Surface | None,
    frame: Frame | None,
    plain_cameras: bool,
    camera_size: float | None,
    strip_gps: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    """Export; `_EXPORT_HELP` is what users read."""
    from sfm.exports.exporting import check_format
    from sfm.exports.source import DepthOptions, SceneOptions

    scene = SceneOptions(surface or "points", frame or "upright", not plain_cameras, camera_size)
    wanted: dict[str, object] = {
        "min_confidence": min_confidence,
        "pairs_per_view": pairs_per_view,
        "max_points": points,
        "full_size": full_size or None,
        "metres": metres or None,
        "overrides": _checked(overrides) or None,
        "scene": None if scene == SceneOptions() else scene,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    options = DepthOptions(**given) if given or depth or to in ("views", "dense") else None  # type: ignore[arg-type]
    check_format(to, options)
    refuse_options(to, _given(click.get_current_context()))
    _export(out, to, destination, model, options, strip_gps=strip_gps, threads=threads, quiet=quiet)


def _given(context: click.Context) -> list[str]:
    """Options that the user typed, by their names on the command line."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]


def _checked(overrides: tuple[str, ...]) -> tuple[str, ...]:
    for text in overrides:
        if not is_override(text):
            raise click.UsageError(f"unexpected argument {text!r}: only KEY=VALUE may follow OUT")
    return overrides


def _export(
    out: Path,
    to: str,
    destination: Path | None,
    model: int,
    depth: DepthOptions | None,
    *,
    strip_gps: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    import sfm
    from sfm.cli import terminal
    from sfm.workspace.interruption import interruptible

    display = terminal.choose_display(quiet=quiet, log_json=False, verbose=False)
    terminal.set_up_logging(display=display, verbose=False)
    with interruptible(terminal.say_stopping(display)):
        progress = terminal.make_progress(display)
        folder = sfm.export(
            out,
            to=to,
            destination=destination,
            model=model,
            depth=depth,
            strip_gps=strip_gps,
            threads=threads,
            progress=progress,
        )
    click.echo(folder)


@click.command("dense", short_help="Triangulate dense points at the poses of a model.")
@click.argument("out", type=_PATH)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_options)
@click.option("-d", "--destination", type=_PATH, help="New folder; OUT/export/dense when not given.")
@click.option(
    "--model", type=click.IntRange(min=0), default=0, show_default=True, help="Which of OUT/sparse."
)
@click.option(
    "--partners",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Photos that each photo is matched with.",
)
@click.option(
    "--points", type=click.IntRange(min=1), default=2_000_000, show_default=True, help="Points of the cloud."
)
@click.option(
    "--full-size/--network-size",
    default=True,
    show_default=True,
    help="Match photos in windows at full size, or as large as the network's images, which is much quicker.",
)
@_THREADS
@click.option("-q", "--quiet", is_flag=True, help="Nothing but errors.")
def dense_command(
    out: Path,
    overrides: tuple[str, ...],
    destination: Path | None,
    model: int,
    partners: int,
    points: int,
    full_size: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    """A dense cloud of OUT: matches of every pixel, triangulated at the poses of its model.

    Matches come from the network of the mast3r backend, whatever backend OUT was made with; without a GPU
    they take half a minute and more a pair. KEY=VALUE overrides an option of that run, such as
    mast3r.device=cpu.
    """
    from sfm.exports.source import DepthOptions

    options = DepthOptions(
        max_points=points, pairs_per_view=partners, full_size=full_size, overrides=_checked(overrides)
    )
    _export(out, "dense", destination, model, options, strip_gps=False, threads=threads, quiet=quiet)


@click.command("explain", short_help="Show why a photo is, or is not, in the model.")
@click.argument("out", type=_PATH)
@click.argument("photo")
def explain_command(out: Path, photo: str) -> None:
    """Why PHOTO is, or is not, in the model of OUT: pairs tried, their inliers, the step that failed."""
    from sfm.diagnosis.explain import explain

    click.echo(explain(out, photo))


@click.command("eval", short_help="Compare a model with ground truth.")
@click.argument("model", type=_PATH)
@click.argument("gt", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def eval_command(model: Path, gt: Path, as_json: bool) -> None:
    """Compare MODEL (a COLMAP model, or OUT) with GT (a gt.json or a COLMAP model)."""
    import sfm

    found = sfm.evaluate(model, gt)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.table())
