"""Files and folders that are written whole or not at all, even when a process is killed."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sfm.errors import WorkspaceError
from sfm.files.folder_swap import recover, take_place
from sfm.files.scratch import beside, folder_beside, leftovers


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
def atomic_folder(path: Path, *, carry: Callable[[Path, Path], None] | None = None) -> Iterator[Path]:
    """A scratch folder that takes the place of `path`, or of what that links to, when the block ends well.

    What a killed process left of the same folder is removed; the workspace's lock keeps others away.

    `carry` is called with the earlier folder and the new one, before they trade places and once more
    afterwards: it puts into the new one what must outlive the earlier one.

    Raises:
        WorkspaceError: there cannot be such a folder.
    """
    path = _behind_links(path)
    scratch = folder_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        for leftover in leftovers(path):
            shutil.rmtree(leftover, ignore_errors=True)
        scratch.mkdir()
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be made: {(error.strerror or str(error)).lower()}", hint="choose another folder"
        ) from error
    try:
        yield scratch
        if carry is not None and path.exists():
            carry(path, scratch)
        old = take_place(scratch, path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    if old is not None:
        if carry is not None:
            carry(old, path)
        shutil.rmtree(old, ignore_errors=True)


def _behind_links(path: Path) -> Path:
    real = Path(os.path.realpath(path)) if os.path.islink(path) else path
    if os.path.islink(path) and not os.path.isdir(real):
        raise WorkspaceError(f"{path} is a link to {real}, which is no folder", hint="remove the link")
    if os.path.ismount(real):
        raise WorkspaceError(f"{real} is the top of a disk", hint="give a folder on it")
    return real


def json_default(value: object) -> object:
    """Dataclasses as objects, mappings and sets as JSON has them, anything else as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, tuple):
        return list(value)
    return str(value)
