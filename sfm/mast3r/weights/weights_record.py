"""What is remembered of a weights folder: the checksum of each file that was read, and what was told already.

No checksums are published. So the sha256 of a file that was read without fault is kept in `weights.json` in
the folder, and a file that has changed since is refused until the user says that the change was wanted. A
file that the user names by its path may be any: its sha256 is only remembered, to be read once.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from sfm.errors import InputError, WeightsError
from sfm.files.atomic import atomic_write_json
from sfm.untrusted.documents import fits, read_json

from .foreign_files import format_of
from .weights import default_folder

log = logging.getLogger(__name__)

RECORD: Final = "weights.json"
_FORMAT = 1
_LOCK = ".weights.lock"
Pin = dict[str, Any]
"""A file's `sha256`, `size` and `mtime_ns`, and that it is `trusted`: it was read without fault."""


@dataclass(frozen=True, slots=True)
class SeenFiles:
    """The file or files of a network, or another file of weights, as they are now."""

    pins: dict[str, Pin]
    """By their paths in the weights folder."""
    known: bool
    """Whether they were remembered with this content."""

    @property
    def key(self) -> str:
        """Identity of the content: the sha256 of the file, or one of those of several."""
        digests = [str(pin["sha256"]) for pin in self.pins.values()]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """The memory of one weights folder.

    It lies in the folder itself; for a folder that is not ours or cannot be written, in the user's cache
    folder; and where that cannot be written either, nothing is remembered.
    """

    weights: Path
    ours: bool = True
    """Whether anything may be written into the folder."""
    pins: bool = True
    """Whether its files must stay what they were; else their checksums are only remembered."""

    @property
    def folder(self) -> Path | None:
        """Where to keep what belongs to the weights folder; None where nothing can be kept."""
        if self.ours and os.access(self.weights, os.W_OK):
            return self.weights
        key = hashlib.sha256(os.fsencode(self.weights.absolute())).hexdigest()[:16]
        elsewhere = default_folder().parent / "weights-elsewhere" / key
        try:
            elsewhere.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return elsewhere if os.access(elsewhere, os.W_OK) else None

    def seen(self, parts: Sequence[Path], *, accept: bool = False) -> SeenFiles:
        """Files as they are now; one is read only if its size or time changed since it was remembered.

        Raises:
            WeightsError: one is not what was used first, unless `accept` allows that; or cannot be read.
        """
        remembered = self._pins(reset=accept)
        pins = {os.path.relpath(part, self.weights): _pin(part) for part in parts}
        for part, (name, pin) in zip(parts, pins.items(), strict=True):
            before = remembered.get(name, {})
            pin["sha256"] = before["sha256"] if before == {**before, **pin} else _sha256(part)
            known = before.get("sha256", pin["sha256"])
            if self.pins and not accept and known != pin["sha256"]:
                raise WeightsError(
                    f"{part}: not the file that was used first (its sha256 was {known}, is {pin['sha256']})",
                    hint="if you replaced it on purpose: sfm weights --accept; else get the right one again",
                )
        known = all(pin["sha256"] == remembered.get(name, {}).get("sha256") for name, pin in pins.items())
        return SeenFiles(pins, known)

    def remember(self, seen: SeenFiles) -> None:
        """From now on the files must be what they were when `seen`: they were read without fault."""
        if not seen.pins.items() <= self._pins(reset=True).items():
            self._changed(lambda record: record.setdefault("files", {}).update(seen.pins))

    def pinned(self, name: str) -> str | None:
        """The sha256 that the file `name` of the folder must have; None where none is known."""
        sha256 = self._pins().get(name, {}).get("sha256")
        return None if sha256 is None else str(sha256)

    def show_once(self, notice: str) -> str:
        """`notice` on the first call for this folder, later an empty text."""
        if self._read().get("licence_shown"):
            return ""
        self._changed(lambda record: record.update(licence_shown=True))
        return notice

    def _pins(self, *, reset: bool = False) -> dict[str, Pin]:
        files = self._read(reset=reset).get("files", {})
        return {name: pin for name, pin in files.items() if pin.get("trusted")}

    def _read(self, *, reset: bool = False) -> dict[str, Any]:
        """The record; an empty one where there is none, or with `reset` where it is damaged."""
        path = None if self.folder is None else self.folder / RECORD
        if path is None or not path.exists():
            return {}
        try:
            record = read_json(path, errors="surrogateescape")
        except InputError:
            record = None
        if fits(record, {"format": int, "files?": {str: {"sha256": str}}}) and record["format"] == _FORMAT:
            return dict(record)
        if reset:
            return {}
        raise WeightsError(
            f"{path}: damaged, so that checksums of the weights are not known",
            hint="if the weights are the ones that you want: sfm weights --accept",
        )

    def _changed(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Write the record back with a change, one process at a time."""
        if self.folder is None:
            return
        with FileLock(str(self.folder / _LOCK)):
            record = self._read(reset=True)
            change(record)
            try:
                atomic_write_json(self.folder / RECORD, {**record, "format": _FORMAT})
            except OSError as error:
                log.warning("%s cannot be written: %s", self.folder / RECORD, error.strerror)


def _pin(path: Path) -> Pin:
    format_of(path)  # is there, and a file
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "trusted": True}


def _sha256(path: Path) -> str:
    """The sha256 of a file, which must be the one by which the hub's cache knows it."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    blob = path.resolve()
    if blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name) and blob.name != found:
        raise WeightsError(
            f"{path}: damaged: its sha256 is {found}, the hub's cache has it as {blob.name}",
            hint="delete it and fetch it again with the tool that fetched it",
        )
    return found
