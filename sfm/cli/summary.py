"""The last lines of a run, for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm.report.result import Result

_MAX_LISTED = 10


def result_lines(result: Result) -> list[str]:
    """Figures, photos left out with the reason, and where everything is."""
    lines = [f"result      {result.run.verdict.title}", result.summary()]
    lines += [*_visual_aliasing(result), *_left_out(result), *_changed(result), *_in_doubt(result)]
    if result.models:
        lines.append(f"model       {result.output / 'sparse' / '0'}")
    is_told = all(failure.step != "report" for failure in result.run.failures)
    if result.run.config.export.report and is_told:
        lines.append(f"report      {result.output / 'report.html'}")
    if result.models and result.run.backend:  # a model of a database alone has no photos to export
        lines.append(f"next        sfm export {shlex.quote(str(result.output))} --to 3dgs")
    return lines


def _visual_aliasing(result: Result) -> Iterator[str]:
    if result.run.ambiguous:
        yield f"look-alikes {len(result.run.inconsistent_pairs)} pairs join places that only look the same."
        yield f"  {result.run.aliasing_note}"


def _left_out(result: Result) -> Iterator[str]:
    left = [outcome for outcome in result.outcomes if outcome.status != "registered"]
    if left:
        yield f"left out    {len(left)}:"
    for outcome in left[:_MAX_LISTED]:
        yield f"  {outcome.name}: {outcome.reason or 'not registered'}"
    if len(left) > _MAX_LISTED:
        yield f"  … and {len(left) - _MAX_LISTED} more; see `outcomes` in {result.output / 'run.json'}"


def _changed(result: Result) -> Iterator[str]:
    if found := result.run.changed:
        yield f"changed     files of {len(found)} {'photo' if len(found) == 1 else 'photos'}:"
    for photo in found[:_MAX_LISTED]:
        yield f"  {photo.name}: {photo.reason}"
    if len(found) > _MAX_LISTED:
        yield f"  … and {len(found) - _MAX_LISTED} more; see `changed` in {result.output / 'run.json'}"


def _in_doubt(result: Result) -> Iterator[str]:
    doubted = [outcome for outcome in result.outcomes if outcome.doubt]
    if doubted:
        verb = (
            "photo is probably at a wrong place"
            if len(doubted) == 1
            else "photos are probably at wrong places"
        )
        yield f"in doubt    {len(doubted)} {verb}:"
    for outcome in doubted[:_MAX_LISTED]:
        yield f"  {outcome.name}: {outcome.doubt}"
    if len(doubted) > _MAX_LISTED:
        yield f"  … and {len(doubted) - _MAX_LISTED} more; see `outcomes` in {result.output / 'run.json'}"
