"""What is remembered of a weights folder: the checksum of each file as first seen, and what was told already.

No checksums are published. So the sha256 of a file that was read without fault is kept in `weights.json` in
the folder, and a file that has changed since is refused until the user says that the change was wanted. A
file that the user names by its path may be any: its sha256 is only remembered, to be read once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from sfm.errors import InputError, WeightsError
from sfm.files.atomic import atomic_write_json
from sfm.untrusted.documents import read_json

from .weights import default_folder

log = logging.getLogger(__name__)

RECORD: Final = "weights.json"
_FORMAT = 1
_LOCK = ".weights.lock"


class WeightsRecord:
    """The memory of one weights folder.

    It lies in the folder itself; for a folder that is not ours or cannot be written, in the user's cache
    folder; and where that cannot be written either, nothing is remembered.

    Args:
        weights: the folder.
        ours: whether anything may be written there.
        pins: whether its files must stay what they were; else their checksums are only remembered.
    """

    def __init__(self, weights: Path, *, ours: bool = True, pins: bool = True) -> None:
        self.weights = weights.absolute()
        self.ours, self.pins = ours, pins

    @property
    def folder(self) -> Path | None:
        """Where to keep what belongs to the weights folder; None where nothing can be kept."""
        key = hashlib.sha256(os.fsencode(self.weights)).hexdigest()[:16]
        elsewhere = default_folder().parent / "weights-elsewhere" / key
        if self.ours and os.access(self.weights, os.W_OK):
            return self.weights
        try:
            elsewhere.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return elsewhere if os.access(elsewhere, os.W_OK) else None

    def digest(self, path: Path, *, accept: bool = False) -> str:
        """The sha256 of a file of weights; it is read only if its size or time changed since the last call.

        Args:
            path: the file.
            accept: take a changed file for the right one from now on.

        Raises:
            WeightsError: the file is not the one that was seen first, or cannot be read.
        """
        name = self._name(path)
        with self._opened(reset=accept) as record:
            pins: dict[str, Any] = record.setdefault("files", {})
            pin = pins.get(name, {})
            state = _state(path)
            if pin and [pin.get("size"), pin.get("mtime_ns")] == state and not accept:
                return str(pin["sha256"])
            found = _sha256(path)
            trusted = self.pins and bool(pin.get("trusted"))
            if trusted and pin.get("sha256") != found and not accept:
                raise WeightsError(
                    f"{path}: not the file that was used first (its sha256 was {pin.get('sha256')}, "
                    f"is {found})",
                    hint="if you replaced it on purpose: sfm weights --accept; else get the right one again",
                )
            pins[name] = {
                "sha256": found,
                "size": state[0],
                "mtime_ns": state[1],
                "trusted": trusted or (self.pins and accept),
            }
            return found

    def trust(self, path: Path) -> None:
        """From now on the file must be what it was when `digest` saw it last: it was read without fault."""
        with self._opened() as record:
            pin = record.get("files", {}).get(self._name(path))
            if pin is not None:
                pin["trusted"] = self.pins

    def is_trusted(self, path: Path) -> bool:
        """Whether the file is one that `trust` was called for, by its size and time."""
        with self._opened() as record:
            pin = record.get("files", {}).get(self._name(path), {})
            return bool(pin.get("trusted")) and [pin.get("size"), pin.get("mtime_ns")] == _state(path)

    def pinned(self, name: str) -> str | None:
        """The sha256 that the file `name` of the folder must have; None where none is known."""
        with self._opened() as record:
            pin = record.get("files", {}).get(name, {})
            return str(pin["sha256"]) if pin.get("trusted") else None

    def show_once(self, notice: str) -> str:
        """`notice` on the first call for this folder, later an empty text."""
        with self._opened() as record:
            shown = bool(record.get("licence_shown"))
            record["licence_shown"] = True
        return "" if shown else notice

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.weights)

    @contextmanager
    def _opened(self, *, reset: bool = False) -> Iterator[dict[str, Any]]:
        """The record, for one process at a time, written back if it was changed."""
        folder = self.folder
        if folder is None:
            yield {}
            return
        with FileLock(str(folder / _LOCK)):
            path = folder / RECORD
            record = _read(path, reset=reset)
            before = json.dumps(record)
            yield record
            if json.dumps(record) != before:
                try:
                    atomic_write_json(path, {**record, "format": _FORMAT})
                except OSError as error:
                    log.warning("%s cannot be written: %s", path, error.strerror)


def _read(path: Path, *, reset: bool) -> dict[str, Any]:
    """The record; an empty one where there is none, or with `reset` where it is damaged."""
    if not path.exists():
        return {}
    try:
        record = read_json(path, errors="surrogateescape")
    except InputError:
        record = None
    if isinstance(record, dict) and record.get("format") == _FORMAT:
        pins = record.get("files", {})
        if isinstance(pins, dict) and all(
            isinstance(pin, dict) and isinstance(pin.get("sha256"), str) for pin in pins.values()
        ):
            return record
    if reset:
        return {}
    raise WeightsError(
        f"{path}: damaged, so that checksums of the weights are not known",
        hint="if the weights are the ones that you want: sfm weights --accept",
    )


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
