"""The last lines of a run, for people."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm.report.result import Result

_MAX_LISTED = 10


def result_lines(result: Result) -> list[str]:
    """Figures, photos left out with the reason, and where everything is."""
    lines = [f"result      {result.run.verdict.title}", result.summary()]
    lines += [
        *(f"stopped     {why}" for why in result.run.stopped),
        *_visual_aliasing(result),
        *_wrong_models(result),
        *_left_out(result),
        *_changed(result),
        *_in_doubt(result),
    ]
    if result.models:
        lines.append(f"model       {result.output / 'sparse' / '0'}")
    failed = {failure.step for failure in result.run.failures}
    if result.models and result.run.config.export.scene != "never" and "scene" not in failed:
        lines.append(f"scene       {result.output / 'scene.glb'}")
    if result.run.config.export.report and "report" not in failed:
        lines.append(f"report      {result.output / 'report.html'}")
    # a model of a database alone has no photos to export, and after a failure the next command is the same
    if result.models and result.run.backend and not result.run.failures:
        lines.append(f"next        {_next(result, has_report='report' not in failed)}")
    return lines


def _next(result: Result, *, has_report: bool) -> str:
    """What to do now: export what has no caveat, else look at it first."""
    out = shlex.quote(str(result.output))
    if result.run.verdict.grade == "good":
        return f"{program()} export {out} --to 3dgs"
    if result.run.config.export.report and has_report:
        return f"read {result.output / 'report.html'} before you use the model"
    worst = next((outcome for outcome in result.outcomes if outcome.doubt), None)
    worst = worst or next((o for o in result.outcomes if o.status != "registered"), None)
    if worst is None:
        return f"{program()} graph {out}"
    return f"{program()} explain {out} {shlex.quote(worst.name)}"


def program() -> str:
    """What to type for the program that runs: `sfm` where the shell finds it, else its path."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("sfm", "__main__.py"):
        return f"{shlex.quote(sys.executable)} -m sfm"
    found = shutil.which("sfm")
    if called.stem != "sfm" or (found is not None and os.path.realpath(found) == os.path.realpath(called)):
        return "sfm"
    return shlex.quote(str(called))


def _visual_aliasing(result: Result) -> Iterator[str]:
    if result.run.ambiguous:
        count = len(result.run.inconsistent_pairs)
        pairs = "1 pair probably joins" if count == 1 else f"{count} pairs probably join"
        yield f"aliasing    {pairs} look-alike places (visual aliasing)."
        yield f"  {result.run.aliasing_note}"


def _wrong_models(result: Result) -> Iterator[str]:
    for model in result.run.models:
        if model.bent:
            yield f"bent        {model.bent}"
        elif model.unsure and not result.run.ambiguous:
            yield f"unsure      {model.unsure}"


def _left_out(result: Result) -> Iterator[str]:
    left = [outcome for outcome in result.outcomes if outcome.status != "registered"]
    rows = [f"{outcome.name}: {outcome.reason or 'not registered'}" for outcome in left]
    return _listed(f"left out    {len(left)}:", rows, "outcomes", result)


def _changed(result: Result) -> Iterator[str]:
    found = result.run.changed
    title = f"changed     files of {len(found)} {'photo' if len(found) == 1 else 'photos'}:"
    return _listed(title, [f"{photo.name}: {photo.reason}" for photo in found], "changed", result)


def _in_doubt(result: Result) -> Iterator[str]:
    rows = [f"{outcome.name}: {outcome.doubt}" for outcome in result.outcomes if outcome.doubt]
    what = "photo" if len(rows) == 1 else "photos"
    return _listed(f"in doubt    {len(rows)} {what}:", rows, "outcomes", result)


def _listed(title: str, rows: Sequence[str], key: str, result: Result) -> Iterator[str]:
    if rows:
        yield title
    yield from (f"  {row}" for row in rows[:_MAX_LISTED])
    if len(rows) > _MAX_LISTED:
        yield f"  … and {len(rows) - _MAX_LISTED} more; see `{key}` in {result.output / 'run.json'}"
