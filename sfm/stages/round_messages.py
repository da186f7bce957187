"""One line for each round of the closed loop, for displays that show lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sfm.workspace.progress import Progress


@dataclass(frozen=True, slots=True)
class RoundMessages:
    """An `EventSink` that shows the `round` events of a run."""

    progress: Progress

    def emit(self, stage: str, event: str, **fields: object) -> None:
        """Show one line where the event is a round."""
        if (stage, event) == ("loop", "round"):
            self.progress.message(_line(fields))


def _line(found: Mapping[str, Any]) -> str:
    asked = ", ".join(f"{count} {reason}" for reason, count in sorted(found["asked"].items()))
    count = "1 pair" if found["matched"] == 1 else f"{found['matched']} pairs"
    pairs = f"{count} matched ({asked}), {found['verified']} verified"
    photos = f"{found['registered_before']} to {found['registered_after']} photos registered"
    models = f"{found['models_before']} to {found['models_after']} models"
    came = f"; {photos}, {models}" if found["models_after"] else ""
    what = pairs if found["matched"] else "models compared with others"
    return f"round {found['round']}: {what}{came}; {found['seconds']:.1f} s"
