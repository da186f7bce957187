"""Steps that failed when the models were there already: what happened, and where the traceback is."""

import os
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sfm.errors import SfmError, UnfinishedError
from sfm.workspace.workspace import Workspace

TRACEBACKS = "tracebacks.txt"
"""In `OUT/cache`."""


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step that failed, as `run.json` holds it."""

    step: str
    error: str
    """The message of an expected failure; of any other its kind, message and the line that raised it."""
    hint: str
    """What the user can do about it; empty for failures that nobody expected."""


def noted(step: str, error: Exception, workspace: Workspace) -> StepFailure:
    """The failure of a step; its traceback goes to the workspace's cache, if that can still be written."""
    hint = (error.hint or "mend what the message names") if isinstance(error, SfmError) else ""
    failure = StepFailure(step, described(error), hint)
    with suppress(OSError):
        append_traceback(workspace.cache / TRACEBACKS, step, error)
        workspace.events.emit(step, "failed", error=failure.error, hint=failure.hint)
    return failure


def described(error: BaseException) -> str:
    """One line: an expected failure's message; of any other its kind, its message and where it was raised."""
    if isinstance(error, SfmError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if words else ''}{words}{where}"


def append_traceback(path: Path, step: str, error: BaseException) -> None:
    """Add a traceback to a file of them."""
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{step}\n{''.join(traceback.format_exception(error))}\n")


def keep_traceback(error: BaseException, output: Path | None) -> Path | None:
    """Write the traceback of a command's end, and return its file; None where it cannot be written.

    It goes to the cache of the output, where there is one, else among temporary files.
    """
    folder = output / "cache" if output is not None else None
    with suppress(OSError):
        if folder is not None and (folder / "workspace.json").is_file():
            append_traceback(folder / TRACEBACKS, "the command", error)
            return folder / TRACEBACKS
    with suppress(OSError):
        # For the user to find, so it stays.
        number, name = tempfile.mkstemp(".txt", "sfm-traceback-", dir=tempfile.gettempdir())
        os.close(number)
        append_traceback(Path(name), "the command", error)
        return Path(name)
    return None


def unfinished_error(failures: Sequence[StepFailure], output: Path) -> UnfinishedError:
    """The error that ends the command when models were written and later steps failed."""
    listed = "\n".join(f"{failure.step} failed: {failure.error}" for failure in failures)
    advice = ". ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint))
    is_expected = all(failure.hint for failure in failures)
    report = "" if is_expected else f"; please report {output / 'cache' / TRACEBACKS}"
    return UnfinishedError(
        f"the model is in {output / 'sparse' / '0'}, but not all that follows was done:\n{listed}",
        hint=f"{advice}{'. ' if advice else ''}run the same command again: finished work is reused{report}",
    )
