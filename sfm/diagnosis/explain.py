"""`sfm explain`: the story of one photo, from file to model or to the step that failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfm.diagnosis.format_quality import format_quality, unit_of
from sfm.diagnosis.unregistered import Diagnosis, EventIndex
from sfm.errors import InputError
from sfm.pairs.history import History, PairTry
from sfm.pairs.photo_names import resolve_photo
from sfm.workspace.events import read_events
from sfm.workspace.past_runs import read_record, unfinished

_MAX_ROWS = 20
_MAX_SUSPECTS = 5
_MATRIX = {"calibrated": "essential", "uncalibrated": "fundamental"}
"""The matrix that verified a pair, by COLMAP's name of its two-view geometry."""


def explain(out: str | os.PathLike[str], photo: str) -> str:
    """Explain the outcome of a photo: pairs tried, their inliers, every attempt to register it.

    Args:
        out: workspace of a finished run.
        photo: name in the model, its last part, or any ending of it that no other photo shares.

    Returns:
        Several lines of plain text.

    Raises:
        InputError: OUT is not a workspace, or there is no such photo, or several.
    """
    out = Path(out)
    index = EventIndex(History(read_events(out / "events.jsonl")))
    run = _run(out)
    outcomes = {entry["name"]: entry for entry in run.get("outcomes", ())}
    known = {**index.history.photos, **index.history.skipped, **outcomes}
    if not known:
        raise unfinished(out) or InputError(
            f"{out}: no record of a run there", hint="give the output folder of an `sfm run`"
        )
    name = resolve_photo(photo, sorted(known))
    return "\n".join(_story(name, index, outcomes, run.get("models", ()))) + "\n"


def _run(out: Path) -> Mapping[str, Any]:
    """What `run.json` holds; nothing when the run was stopped before its end."""
    path = out / "run.json"
    if not path.is_file():
        return {}
    return read_record(path)


def _story(
    name: str,
    index: EventIndex,
    outcomes: Mapping[str, Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    history, outcome = index.history, outcomes.get(name)
    yield from _headline(name, index, outcome)
    if outcome is not None and (quality := outcome.get("quality")):
        yield f"Held by       {format_quality(quality, unit_of(models, outcome['model']))}"
        if (chance := quality.get("probability")) is not None:
            yield f"Right         {100 * chance:.0f} % likely"
    if outcome is not None and outcome.get("doubt"):
        yield f"In doubt      {outcome['doubt']}"
    if name in history.photos:
        yield ""
        yield f"Read          {_read(history.photos[name], history)}"
    if (count := history.keypoints.get(name)) is not None:
        yield f"Keypoints     {count}"
    tries = history.tries(name)
    if tries:
        yield f"Pairs         {_asked(tries)}"
        yield from _table(name, tries, history, _model_of(outcomes, history))
    yield from _registration(name, history)
    yield from _look_alikes(name, history)


def _headline(name: str, index: EventIndex, outcome: Mapping[str, Any] | None) -> Iterator[str]:
    registered = index.history.registered.get(name)
    if outcome is not None and outcome["status"] == "registered":
        yield f"{name}: registered in model {outcome['model']}, {outcome['num_observations']} points seen"
    elif outcome is None and registered is not None:
        yield f"{name}: registered in model {registered['model']}; the run was not finished"
    elif outcome is not None and outcome["status"] == "skipped":
        yield f"{name}: not used"
        yield f"Why           {outcome['reason']}"
    else:
        found = Diagnosis(outcome["reason"], outcome["advice"]) if outcome else index.diagnose(name)
        yield f"{name}: not registered"
        yield f"Why           {found.reason}"
        if found.advice:
            yield f"What helps    {found.advice}"


def _read(photo: Mapping[str, Any], history: History) -> str:
    camera = photo["camera_id"]
    sharing = sum(other["camera_id"] == camera for other in history.photos.values()) - 1
    shared = f"shared with {sharing} more" if sharing else "its own"
    turned = "" if photo.get("orientation", 1) == 1 else f", EXIF orientation {photo['orientation']}"
    return f"{photo['width']} x {photo['height']} px, camera {camera} ({shared}){turned}"


def _asked(tries: Sequence[PairTry]) -> str:
    reasons = Counter(attempt.reason for attempt in tries)
    verified = sum(attempt.verified for attempt in tries)
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    failed = sum(attempt.failed for attempt in tries)
    return f"{len(tries)} matched ({why}), {verified} verified{f', {failed} failed' if failed else ''}"


def _model_of(outcomes: Mapping[str, Mapping[str, Any]], history: History) -> Mapping[str, int]:
    """Model of each registered photo; of an unfinished run only of those that it registered itself."""
    known = outcomes or history.registered
    return {name: entry["model"] for name, entry in known.items() if entry["model"] is not None}


def _table(
    name: str, tries: Sequence[PairTry], history: History, model_of: Mapping[str, int]
) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [
        ("with", "why", "round", "score", "matches", "inliers", "geometry", "in model")
    ]
    rows += [_row(name, attempt, history, model_of) for attempt in tries[:_MAX_ROWS]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numeric = {2, 3, 4, 5}
    for row in rows:
        cells = (
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  " + "  ".join(cells).rstrip()
    if len(tries) > _MAX_ROWS:
        yield f"  and {len(tries) - _MAX_ROWS} more, none better"


def _row(name: str, attempt: PairTry, history: History, model_of: Mapping[str, int]) -> tuple[str, ...]:
    other = attempt.other(name)
    score = history.scores.get(attempt.pair)
    return (
        other,
        attempt.reason,
        str(attempt.round),
        f"{score:.3f}" if score else "",
        str(attempt.num_matches),
        str(attempt.num_inliers) if attempt.verified else "failed" if attempt.failed else "refused",
        _MATRIX.get(kind := attempt.config.lower(), kind) if attempt.verified else attempt.why,
        str(model_of.get(other, "")),
    )


def _registration(name: str, history: History) -> Iterator[str]:
    lines = [
        f"rejected by {_model(event)}: sees {event['num_visible']}, {event['why']}"
        for event in history.rejected.get(name, ())
    ]
    if dropped := history.dropped.get(name):
        lines.append(f"its model of {len(dropped['names'])} photos was dropped: {dropped['why']}")
    if apart := history.split.get(name):
        lines.append(
            f"split off {_model(apart)}: its part of {len(apart['names'])} photos shares points with "
            f"the rest through {apart['articulation']} alone, which leaves the part's scale unknown"
        )
    if moved := history.relocated.get(name):
        before, after = moved["num_matches"]
        lines.append(
            f"moved with {len(moved['names']) - 1} others: {after:,} of the matches that join them with the "
            f"rest agree with their place, {before:,} did with the first one, given by look-alikes"
        )
    if name in history.filtered:
        lines.append(f"taken out again: {history.filtered[name]}")
    if kept := history.registered.get(name):
        inliers = "" if kept["num_inliers"] is None else f", {kept['num_inliers']} inliers"
        lines.append(
            f"registered in model {kept['model']} ({kept['how']}): saw {kept['num_visible']}{inliers}"
        )
    for number, line in enumerate(lines):
        yield f"{'' if number else 'Registration':14}{line}"


def _look_alikes(name: str, history: History) -> Iterator[str]:
    found = history.inconsistent_pairs.get(name, ())
    for number, event in enumerate(found[:_MAX_SUSPECTS]):
        other = event["b"] if event["a"] == name else event["a"]
        yield f"{'' if number else 'Look-alikes':14}probably no true pair with {other}: {event['why']}"
    if len(found) > _MAX_SUSPECTS:
        yield f"{'':14}and {len(found) - _MAX_SUSPECTS} more, less sure"


def _model(event: Mapping[str, Any]) -> str:
    return "a model that was given up" if event.get("model") is None else f"model {event['model']}"
