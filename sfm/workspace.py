"""The output folder: where things lie, who may write there, and how files appear in it whole or not."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from sfm.errors import WorkspaceError
from sfm.events import EventLog
from sfm.scratch import SUFFIX, beside, scratch_below, sweep

FORMAT = 1
MARKER = "workspace.json"


class Workspace:
    """An output folder opened for one process; use as a context manager.

    Raises:
        WorkspaceError: on entering, when the folder cannot be written, holds something else than a
            workspace of ours, belongs to other input, or is in use by another process.
    """

    def __init__(self, root: Path, *, source: Path) -> None:
        self.root = root.expanduser().absolute()
        self.source = source.expanduser().absolute()
        self._lock: FileLock | None = None
        self._open = ExitStack()

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
    def events(self) -> EventLog:
        """Appends to the events of the run in progress."""
        return EventLog(self.events_path)

    def publish_events(self) -> None:
        """Put the events of this run in the place of the last finished run's, `OUT/events.jsonl`."""
        shutil.copyfile(self.events_path, self.cache / "events.finished")
        os.replace(self.cache / "events.finished", self.root / "events.jsonl")

    def __enter__(self) -> Workspace:
        try:
            self._refuse_foreign()
            self.cache.mkdir(parents=True, exist_ok=True)
            self._acquire_lock()
            self._clear_scratch()
            if self._marker() is None or not self._has_results():
                self._write_marker()
        except OSError as error:
            raise WorkspaceError(
                f"{self.root} cannot be used as output: {(error.strerror or str(error)).lower()}",
                hint="choose another output folder",
            ) from error
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

    def _marker(self) -> dict[str, object] | None:
        path = self.cache / MARKER
        if not path.exists():
            return None
        try:
            marker = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise WorkspaceError(f"{path} is damaged", hint="choose another output folder") from None
        if not isinstance(marker, dict) or marker.get("format") != FORMAT:
            raise WorkspaceError(
                f"{self.root} was written by another version of sfm", hint="choose another output folder"
            )
        return marker

    def _write_marker(self) -> None:
        atomic_write_json(self.cache / MARKER, {"format": FORMAT, "source": str(self.source)})

    def _refuse_foreign(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise WorkspaceError(f"{self.root} is a file", hint="give a folder for the output")
        if self.root == self.source:
            raise WorkspaceError(
                f"{self.root} is the input itself", hint="give another folder for the output: -o OUT"
            )
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
        if entries and not self._links_to_source():
            raise WorkspaceError(
                f"{self.root} is not empty and was not made by sfm (it holds {entries[0]})",
                hint="choose a new or empty output folder",
            )

    def _has_results(self) -> bool:
        """False when no run has come as far as a database: the folder is then anybody's."""
        return self.database.exists() or self.run_json.exists()

    def _links_to_source(self) -> bool:
        """True for a workspace of these photos whose `cache` was deleted."""
        if not self.database.exists() or not self.images.is_dir():
            return False
        links = (Path(os.readlink(path)) for path in self.images.rglob("*") if path.is_symlink())
        return any(target.is_relative_to(self.source) for target in links)

    def _was_moved(self, earlier: Path) -> bool:
        """True when the photos that this workspace knows now lie under `source` instead of `earlier`."""
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
        """Remove what a killed run left, and make a folder for this one's."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.root, self.cache, self.images):
            sweep(folder, deep=folder != self.root)
        self.scratch.mkdir()

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


@contextmanager
def os_errors_as_workspace_errors(root: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a message; other errors pass."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "permission denied",
            errno.EPERM: "permission denied",
        }
        if error.errno not in reasons:
            raise
        raise WorkspaceError(
            f"cannot write to {error.filename or root}: {reasons[error.errno]}",
            hint="free some space or choose another output folder; what was finished is kept",
        ) from error
    except RuntimeError as error:
        # SQLite's errors reach Python through pycolmap as RuntimeError.
        if "disk is full" not in str(error) and "readonly database" not in str(error):
            raise
        raise WorkspaceError(f"cannot write to {root}: {error}") from error


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


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old or the new content, never a part, even after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = beside(path)
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def atomic_write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, default=json_default, ensure_ascii=False)
    atomic_write_bytes(path, text.encode("utf-8", errors="surrogateescape"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of `path` when the block ends well.

    What a killed process left of the same folder is removed; the workspace's lock keeps others away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.????????{SUFFIX}"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{SUFFIX}")
    scratch.mkdir()
    try:
        yield scratch
        if path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{SUFFIX}")
            path.rename(old)
            scratch.rename(path)
            shutil.rmtree(old)
        else:
            scratch.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def content_key(stage: str, version: int, *inputs: object) -> str:
    """Name of a stage's result: a hash of the stage, its version, its options and its inputs.

    Args:
        stage: name of the stage.
        version: raised when the stage's code changes what it computes.
        inputs: JSON values or dataclasses; equal inputs give equal keys in every process.
    """
    text = json.dumps([stage, version, inputs], sort_keys=True, default=json_default)
    return hashlib.blake2b(text.encode("utf-8", errors="surrogateescape"), digest_size=16).hexdigest()


def json_default(value: object) -> object:
    """Dataclasses as objects, mappings and sets as JSON has them, anything else as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, tuple):
        return list(value)
    return str(value)
