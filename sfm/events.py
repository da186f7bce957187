"""The append-only record of every decision: `OUT/events.jsonl`, one JSON object a line.

Each line holds `t` (seconds since 1970), `stage` and `event`; the other fields depend on the event.
The report and `sfm explain` read this file, never the log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

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
    """Hands every event to two sinks."""

    def __init__(self, first: EventSink, second: EventSink) -> None:
        self._sinks = (first, second)

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Record the event in both."""
        for sink in self._sinks:
            sink.emit(stage, event, **fields)


def replay(path: Path, events: EventSink) -> None:
    """Emit the events of a file again, for results that are reused."""
    for record in read_events(path):
        fields = {key: value for key, value in record.items() if key not in ("t", "stage", "event")}
        events.emit(str(record["stage"]), str(record["event"]), **fields)


def read_events(path: Path) -> Iterator[Mapping[str, JsonValue]]:
    """Events in the order written; a last line torn by a kill is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
