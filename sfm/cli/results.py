"""Commands that read a finished result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command("export")
@click.argument("out", type=_PATH)
@click.option("--to", required=True, metavar="FORMAT", help="3dgs, nerfstudio, txt or ply.")
@click.option("-d", "--destination", type=_PATH, help="New folder; OUT/export/FORMAT when not given.")
@click.option(
    "--model", type=click.IntRange(min=0), default=0, show_default=True, help="Which of OUT/sparse."
)
def export_command(out: Path, to: str, destination: Path | None, model: int) -> None:
    """Write a model of OUT for another program.

    \b
    3dgs        undistorted photos and a PINHOLE model, for Gaussian splatting trainers
    nerfstudio  transforms.json
    txt         COLMAP's text files
    ply         coloured points
    """
    from sfm.exports import export
    from sfm.terminal import native_log

    with native_log(verbose=False):
        click.echo(export(out, to=to, destination=destination, model=model))


@click.command("explain")
@click.argument("out", type=_PATH)
@click.argument("photo")
def explain_command(out: Path, photo: str) -> None:
    """Why PHOTO is, or is not, in the model of OUT: pairs tried, their inliers, the step that failed."""
    from sfm.explanation import explain

    click.echo(explain(out, photo))


@click.command("eval")
@click.argument("model", type=_PATH)
@click.argument("gt", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def eval_command(model: Path, gt: Path, as_json: bool) -> None:
    """Compare MODEL (a COLMAP model, or OUT) with GT (a gt.json or a COLMAP model)."""
    import sfm
    from sfm.terminal import native_log

    with native_log(verbose=False):
        figures = sfm.evaluate(model, gt).to_dict()
    click.echo(json.dumps(figures, indent=2) if as_json else "\n".join(_table(figures)))


def _table(figures: Mapping[str, object], prefix: str = "") -> list[str]:
    """A line a figure; nested figures are indented below their name."""
    lines = []
    for key, value in figures.items():
        if isinstance(value, Mapping):
            lines += [f"{prefix}{key}", *_table(value, prefix + "  ")]
        elif isinstance(value, float):
            lines.append(f"{prefix}{key:<28} {value:.4g}")
        elif not isinstance(value, list):
            lines.append(f"{prefix}{key:<28} {value}")
    return lines
