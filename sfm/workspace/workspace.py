"""The output folder: where things lie in it, and who may write there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from sfm.errors import InputError, SfmError, WorkspaceError
from sfm.files.atomic import atomic_write_json, json_default
from sfm.files.scratch import beside, is_scratch, scratch_below, sweep
from sfm.untrusted.documents import fits, read_json
from sfm.workspace import interruption
from sfm.workspace.events import EventLog, EventSink, Tee

FORMAT = 1
MARKER = "workspace.json"


class Workspace:
    """An output folder opened for one process; use as a context manager.

    Raises:
        WorkspaceError: on entering, when the folder cannot be written, holds something else than a workspace
            of ours, belongs to other input, or is in use.
    """

    def __init__(self, root: Path, *, source: Path) -> None:
        self.root = root.expanduser().absolute()
        self.source = source.expanduser().absolute()
        self._lock: FileLock | None = None
        self.event_sinks: list[EventSink] = []
        self._parts: dict[Path, int] = {}
        self._open = ExitStack()
        self._is_new = False

    @property
    def cache(self) -> Path:
        """Everything that can be computed again."""
        return self.root / "cache"

    @property
    def scratch(self) -> Path:
        """Temporary folders of the run in progress."""
        return self.cache / "scratch"

    @property
    def images(self) -> Path:
        """One entry per photo under its model name: a link to the user's file, or a converted copy."""
        return self.root / "images"

    @property
    def database(self) -> Path:
        """COLMAP database with keypoints, descriptors, matches and two-view geometries."""
        return self.root / "database.db"

    @property
    def sparse(self) -> Path:
        """COLMAP models, `0` the largest."""
        return self.root / "sparse"

    @property
    def run_json(self) -> Path:
        """Every figure of the last run."""
        return self.root / "run.json"

    @property
    def events_path(self) -> Path:
        """Every decision of the run in progress, one JSON object a line."""
        return self.cache / "events.jsonl"

    @property
    def events(self) -> EventSink:
        """Receives the events of the run in progress: appended to the file, and passed to `event_sinks`."""
        return Tee(EventLog(self.events_path), *self.event_sinks)

    def holds(self, path: object) -> bool:
        """Whether a path lies in this folder, or is unknown."""
        return not isinstance(path, str | Path) or Path(path).absolute().is_relative_to(self.root)

    def note_parts(self) -> None:
        """Remember what is there by now and must stay as long as the run goes on."""
        for path in (self.database, self.images):
            self._note(path)

    def _note(self, part: Path) -> None:
        if part not in self._parts and part.exists():
            self._parts[part] = part.stat().st_ino

    def require_whole(self) -> None:
        """Refuse to go on where somebody took the folder away, or parts of it.

        Raises:
            WorkspaceError: what `note_parts` saw is gone, or another file has its name.
        """
        for path, number in self._parts.items():
            if not path.exists() or path.stat().st_ino != number:
                part = path.relative_to(self.root)
                raise WorkspaceError(
                    f"{self.root} was removed, or parts of it ({part}), while it was being written",
                    hint="run the same command again, and leave the folder alone until it ends",
                )

    def __enter__(self) -> Workspace:
        try:
            self._refuse_foreign()
            self._is_new = not self.root.exists()
            self.cache.mkdir(parents=True, exist_ok=True)
            self._acquire_lock()
            self._clear_scratch()
            self._part_database()
            if self._marker() is None or not self._has_results():
                self._write_marker()
        except OSError as error:
            raise WorkspaceError(
                f"{self.root} cannot be used as output: {(error.strerror or str(error)).lower()}",
                hint="choose another output folder",
            ) from error
        self._note(self.cache / MARKER)
        self.events_path.unlink(missing_ok=True)
        self._open.enter_context(scratch_below(self.scratch))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._is_new and isinstance(error, SfmError):
            self._remove_start()

    def _remove_start(self) -> None:
        """Remove the folder where this run made it and nothing came of it."""
        cache = self.cache
        started = [self.events_path, cache / MARKER, cache / "lock", cache / "images.json"]
        with suppress(OSError):
            if {*self.root.iterdir()} == {cache} and {*cache.iterdir()} <= {*started, self.scratch}:
                self.scratch.rmdir()
                for path in started:
                    path.unlink(missing_ok=True)
                cache.rmdir()
                self.root.rmdir()

    def _marker(self) -> dict[str, object] | None:
        path = self.cache / MARKER
        if not path.exists():
            return None
        marker = read_json(path, error=WorkspaceError, hint="choose another output folder")
        if not isinstance(marker, dict) or marker.get("format") != FORMAT:
            raise WorkspaceError(
                f"{self.root} was written by another version of sfm", hint="choose another output folder"
            )
        if not fits(marker, {"source": str}):
            raise WorkspaceError(
                f"{path} is damaged: it does not name what was reconstructed",
                hint="choose another output folder",
            )
        return marker

    def _write_marker(self) -> None:
        atomic_write_json(self.cache / MARKER, {"format": FORMAT, "source": str(self.source)})

    def _refuse_foreign(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise WorkspaceError(f"{self.root} is a file", hint="give a folder for the output")
        if os.path.realpath(self.root) == os.path.realpath(self.source):
            raise WorkspaceError(
                f"{self.root} is the input itself", hint="give another folder for the output: -o OUT"
            )
        for part in (self.cache, self.images, self.sparse):
            if Path(os.path.realpath(self.source)).is_relative_to(os.path.realpath(part)):
                raise WorkspaceError(
                    f"{self.source} lies in {part}, which is overwritten",
                    hint="give another folder for the output: -o OUT",
                )
        refuse_links(self.root, self.source)
        marker = self._marker()
        if marker is None:
            self._refuse_unless_empty()
        elif not self._has_results():
            return
        elif marker.get("source") != str(self.source) and not self._was_moved(Path(str(marker["source"]))):
            raise WorkspaceError(
                f"{self.root} holds the reconstruction of {marker.get('source')}, not of {self.source}",
                hint="choose another output folder",
            )

    def _refuse_unless_empty(self) -> None:
        # `cache` alone is what a run leaves that was killed before it wrote its marker.
        entries = [p.name for p in self.root.iterdir() if p.name != "cache"] if self.root.exists() else []
        entries += [f"cache/{name}" for name in self._foreign_in_cache()] if not entries else []
        if entries and not self._links_to_source():
            raise WorkspaceError(
                f"{self.root} is not empty and was not made by sfm (it holds {entries[0]})",
                hint="choose a new or empty output folder",
            )

    def _foreign_in_cache(self) -> list[str]:
        """What lies in a cache without a marker, and no killed run left there."""
        if not self.cache.is_dir():
            return [self.cache.name] if os.path.lexists(self.cache) else []
        return [path.name for path in sorted(self.cache.iterdir()) if not _is_of_a_killed_start(path)]

    def _has_results(self) -> bool:
        """False when no run has come as far as a database: the folder is then anybody's."""
        return self.database.exists() or self.run_json.exists()

    def _links_to_source(self) -> bool:
        # The record of the run distinguishes it from a project of COLMAP's whose images are links.
        if not (self.database.exists() and self.run_json.exists() and self.images.is_dir()):
            return False
        links = (Path(os.readlink(path)) for path in self.images.rglob("*") if path.is_symlink())
        return any(target.is_relative_to(self.source) for target in links)

    def _was_moved(self, earlier: Path) -> bool:
        """True when the photos of this workspace now lie under `source` instead of `earlier`."""
        if earlier.exists() or not self.images.is_dir():
            return False
        links = [p for p in self.images.rglob("*") if p.is_symlink()]
        names = [Path(os.readlink(p)) for p in links]
        inside = [n.relative_to(earlier) for n in names if n.is_relative_to(earlier)]
        if not inside or not all((self.source / n).exists() for n in inside):
            return False
        self._write_marker()
        return True

    def _clear_scratch(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.root, self.cache, self.images):
            sweep(folder, deep=folder != self.root)
        self.scratch.mkdir()

    def _part_database(self) -> None:
        """Give the database, which is written in place, a file of its own: a backup may be a link to it."""
        if self.database.exists() and self.database.stat().st_nlink > 1:
            copy = beside(self.database)
            shutil.copyfile(self.database, copy)
            os.replace(copy, self.database)

    def _acquire_lock(self) -> None:
        lock = FileLock(str(self.cache / "lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise WorkspaceError(
                f"{self.root} is in use by another sfm process",
                hint="wait for it to finish, or choose another output folder",
            ) from None
        self._lock = lock


def _is_of_a_killed_start(path: Path) -> bool:
    if path.name == "lock":
        return path.is_file() and path.stat().st_size == 0
    return is_scratch(path.name) or (path.name == "scratch" and path.is_dir() and not any(path.iterdir()))


def refuse_links(root: Path, source: Path) -> None:
    """Refuse an output in which links would make this program write to files of the user's.

    Raises:
        WorkspaceError: a folder of the output is a link to the photos in `source`, to one of their folders or
            to one around them; or a file of it, or anything in its cache, is a link.
    """
    photos = Path(os.path.realpath(source))
    for path in (path for folder in (root, root / "cache") if folder.is_dir() for path in folder.iterdir()):
        if not path.is_symlink():
            continue
        target = Path(os.path.realpath(path))
        overlap = target.is_relative_to(photos) or photos.is_relative_to(target)
        if overlap or path.parent != root or not path.is_dir():
            raise WorkspaceError(
                f"{path} is a link to {target}, where nothing must be written",
                hint="remove the link, or choose another output folder",
            )


def refuse_others(path: Path, *, mark: bytes) -> None:
    """Refuse to replace a file that is not one of ours; the first kilobytes of ours hold `mark`.

    Raises:
        WorkspaceError: another file is there, or a link.
    """
    if not os.path.lexists(path):
        return
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            if mark in file.read(_HEAD_BYTES):
                return
    raise WorkspaceError(
        f"{path} is there already and was not written by sfm",
        hint="move it, or choose another folder: -o FOLDER",
    )


_HEAD_BYTES = 1 << 13
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than is allowed",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "the disk is not reachable any more",
    errno.EISDIR: "a folder is there",
    errno.ENOTDIR: "a file is there where a folder should be",
}
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR)
_MOVE_IT = "move it away"
_FREE_SPACE = "free some space or choose another output folder; what was finished is kept"
_DATABASE_REASONS = ("disk is full", "readonly database", "disk I/O error")
"""In SQLite's messages, which reach Python as OperationalError, or through pycolmap as RuntimeError."""


@contextmanager
def os_errors_as_workspace_errors(root: Path) -> Iterator[None]:
    """Turn a full or forbidden disk, or a folder in the way, into a message; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise WorkspaceError(
            f"cannot write to {error.filename2 or error.filename or root}: {_REASONS[error.errno]}",
            hint=_MOVE_IT if error.errno in _IN_THE_WAY else _FREE_SPACE,
        ) from error
    except (RuntimeError, sqlite3.OperationalError) as error:
        if not is_about_disk(error):
            raise
        raise WorkspaceError(f"cannot write to {root}: {error}") from error


def is_about_disk(error: Exception) -> bool:
    """Whether an error of SQLite's is about a disk that cannot be written."""
    return any(reason in str(error) for reason in _DATABASE_REASONS)


@contextmanager
def opened_workspace(root: Path, *, source: Path) -> Iterator[Workspace]:
    """A workspace; failures in the block become WorkspaceError where the folder is full, forbidden or
    gone."""
    with os_errors_as_workspace_errors(root), Workspace(root, source=source) as workspace:
        try:
            yield workspace
        except Exception as error:
            interruption.check()
            workspace.require_whole()
            if isinstance(error, FileNotFoundError) and not workspace.holds(error.filename):
                raise InputError(
                    f"{error.filename} was removed while the run went on",
                    hint="put it back, and run the same command again: finished work is reused",
                ) from error
            raise


def require_space(folder: Path, num_bytes: int) -> None:
    """Refuse to go on when the disk is about to be full: COLMAP aborts the process where SQLite cannot write.

    Raises:
        WorkspaceError: fewer than `num_bytes` are free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise WorkspaceError(
            f"the disk of {folder} is full: {free / 1e6:.0f} MB free, "
            f"the next step may need {num_bytes / 1e6:.0f} MB",
            hint="free some space and run the same command again; what was finished is kept",
        )


def content_key(stage: str, version: int, *inputs: object) -> str:
    """Name of a stage's result: a hash of the stage, its version, its options and its inputs.

    `version` is raised when the stage's code changes what it computes. Inputs are JSON values or dataclasses;
    equal inputs give equal keys in every process.
    """
    text = json.dumps([stage, version, inputs], sort_keys=True, default=json_default)
    return hashlib.blake2b(text.encode("utf-8", errors="surrogateescape"), digest_size=16).hexdigest()
