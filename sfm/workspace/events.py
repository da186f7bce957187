"""The append-only record of every decision: `OUT/events.jsonl`, one JSON object a line.

Each line holds `t` (seconds since 1970), `stage` and `event`; the other fields depend on the event.
The report and `sfm explain` read this file, never the log.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from sfm.errors import WorkspaceError
from sfm.untrusted.documents import fits, json_lines, read_text

log = logging.getLogger(__name__)

_RECORD = {"stage": str, "event": str}
_PAIR = {"a": str, "b": str}
_NUMBER = (int, None)
_FIELDS: Mapping[str, object] = {
    "photo": {"name": str, "width": int, "height": int, "camera_id": int, "orientation?": _NUMBER},
    "skipped": {"name": str, "reason": str},
    "features": {"name": str, "num_keypoints": _NUMBER},
    "edge": {**_PAIR, "score": float},
    "pair": {
        **_PAIR,
        "reason": str,
        "round": int,
        "num_matches": int,
        "num_inliers": int,
        "config": str,
        "why?": (str, None),
    },
    "request": {**_PAIR, "gain": float, "reason": str, "round": int},
    "inconsistent_pair": {**_PAIR, "why": str},
    "registered": {
        "name": str,
        "how": str,
        "num_visible": _NUMBER,
        "num_inliers": _NUMBER,
        "model?": _NUMBER,
    },
    "rejected": {"name": str, "num_visible": _NUMBER, "why": str, "model?": _NUMBER},
    "filtered": {"name": str, "why": str, "model?": _NUMBER},
    "split": {"names": [str], "articulation": str, "model?": _NUMBER},
    "relocated": {"names": [str], "accepted": bool, "num_matches": [int]},
    "dropped_model": {"names": [str], "why": str},
}
"""Fields that some events must have, because readers depend on them."""

_EARLIER = {"suspect": "inconsistent_pair", "hinged": "split", "moved": "relocated"}
"""Names of events in files of earlier versions, and what they are called now."""
_EARLIER_FIELDS = {"hinge": "articulation"}

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


class EventSink(Protocol):
    """Anything that takes events; stages depend on this, not on a file."""

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Record one event."""


class NullEvents:
    """Discards events; for library calls without a workspace."""

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Discard the event."""


class EventLog:
    """Appends events to a file, each line written and flushed at once so that a kill loses none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Append one event; `fields` must be JSON values or have a sensible `str`."""
        record = {"t": round(time.time(), 3), "stage": stage, "event": event, **fields}
        with self._path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(json.dumps(record, default=str, ensure_ascii=False) + "\n")


class Tee:
    """Passes every event to several sinks."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = sinks

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Record the event in each."""
        for sink in self._sinks:
            sink.emit(stage, event, **fields)


def _is_whole(record: Mapping[str, Any]) -> bool:
    if not fits(record, _FIELDS.get(str(record["event"]), {})):
        return False
    if record["event"] == "relocated":
        return len(record["num_matches"]) == 2
    return "a" not in record or record["a"] != record.get("b")


def _as_now(record: Mapping[str, Any]) -> Mapping[str, Any]:
    event = str(record["event"])
    if event not in _EARLIER:
        return record
    return {_EARLIER_FIELDS.get(key, key): value for key, value in record.items()} | {
        "event": _EARLIER[event]
    }


def replay(path: Path, events: EventSink) -> None:
    """Emit the events of a file again, for results that are reused."""
    for record in read_events(path):
        fields = {key: value for key, value in record.items() if key not in ("t", "stage", "event")}
        events.emit(str(record["stage"]), str(record["event"]), **fields)


def read_events(path: Path) -> Iterator[Mapping[str, JsonValue]]:
    """Events in the order written; a last line torn by a kill is left out, and damaged ones with a warning.

    Raises:
        WorkspaceError: the file cannot be read.
    """
    if not path.exists():
        return
    text = read_text(path, errors="surrogateescape", error=WorkspaceError, binary=True)
    damaged, torn = 0, text[text.rfind("\n") + 1 :]
    for record in json_lines(text):
        if record is not None and fits(record, _RECORD) and _is_whole(known := _as_now(record)):
            yield known
        else:
            damaged += 1
    damaged -= bool(torn) and next(json_lines(torn), None) is None
    if damaged > 0:
        log.warning("%s: %d damaged lines are left out", path, damaged)
