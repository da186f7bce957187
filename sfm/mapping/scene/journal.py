"""What happened while a model was built, kept until it is known whether the model stays."""

from __future__ import annotations

from dataclasses import dataclass, field

from sfm.workspace.events import EventSink

STAGE = "register"


@dataclass(slots=True)
class Journal:
    """Events of one model in the order they happened; `model` is filled in when they are published."""

    entries: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def note(self, event: str, **fields: object) -> None:
        """Remember one event."""
        self.entries.append((event, fields))

    def publish(self, events: EventSink, model: int) -> None:
        """Hand all events on under the model's final number."""
        for event, fields in self.entries:
            events.emit(STAGE, event, model=model, **fields)
        self.entries.clear()
