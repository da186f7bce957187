"""Which files under the photos folder are photos."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection as Group
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sfm.colmap.model_poses import EXPORT_MARKER
from sfm.ingest.names import unique_name
from sfm.types import Skipped

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".bmp"}
    | {".webp", ".heic", ".heif", ".hif", ".avif", ".jp2", ".ppm", ".pgm"}
)
IGNORED_FOLDERS = frozenset({"@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information"})
_NUM_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file with the suffix of a photo."""

    name: str
    """POSIX path relative to the photos folder, exactly as the file system has it."""
    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All photo files below a folder, sorted by name, and what was passed over."""

    files: tuple[FoundFile, ...]
    unreachable: tuple[Skipped, ...]
    """Folders that cannot be listed, links that lead nowhere, pipes and devices."""
    num_ignored: int
    ignored_examples: tuple[str, ...]
    """Some files with other suffixes."""


def discover(root: Path, *, excluded: Group[Path] = ()) -> Listing:
    """Photo files under an existing folder, subfolders and linked folders included.

    Left out: what is hidden, folders that systems put beside photos, and outputs of earlier runs
    (`excluded`).
    """
    files: list[FoundFile] = []
    unreachable: list[Skipped] = []
    ignored: list[str] = []
    for name, found in _entries(root, {Path(os.path.realpath(p)) for p in excluded}, unreachable):
        if Path(name).suffix.lower() not in PHOTO_SUFFIXES:
            ignored.append(name)
        elif isinstance(found, FoundFile):
            files.append(found)
        else:
            unreachable.append(found)
    files.sort(key=lambda file: file.name)
    return Listing(tuple(files), tuple(unreachable), len(ignored), tuple(sorted(ignored)[:_NUM_EXAMPLES]))


def with_earlier(listing: Listing, earlier: Sequence[FoundFile], folder: str) -> Listing:
    """A listing that begins with earlier files, which keep their names.

    Files of the listing that are among the earlier ones, by their place on the disk, are not listed again.
    Other files with the name of an earlier one get `folder` before it.
    """
    places = {os.path.realpath(file.path) for file in earlier}
    taken = {file.name for file in earlier}
    added = []
    for file in listing.files:
        if os.path.realpath(file.path) in places:
            continue
        name = unique_name(f"{folder}/{file.name}", taken) if file.name in taken else file.name
        taken.add(name)
        added.append(replace(file, name=name))
    return replace(listing, files=(*earlier, *added))


def found_file(name: str, path: Path) -> FoundFile:
    """The file at `path` under a name of its own.

    Raises:
        OSError: it is not there.
    """
    status = path.stat()
    return FoundFile(name, path, status.st_size, status.st_mtime_ns)


def _entries(
    root: Path, excluded: set[Path], unreachable: list[Skipped]
) -> Iterator[tuple[str, FoundFile | Skipped]]:
    """All that is no folder, by name; folders that cannot be listed are appended to `unreachable`."""
    pending = [root]
    entered = set(excluded)
    while pending:
        folder = pending.pop()
        real = Path(os.path.realpath(folder))
        # Links can lead in circles; each real folder is entered once.
        if real in entered or (folder != root and _is_output_of_a_run(folder)):
            continue
        entered.add(real)
        try:
            names = sorted(os.listdir(folder))
            os.stat(os.path.join(folder, "."))  # a folder may be listed of which no file may be opened
        except OSError as error:
            unreachable.append(Skipped(folder.relative_to(root).as_posix(), _why(error, "folder")))
            continue
        visible = [name for name in names if not name.startswith(".") and name not in IGNORED_FOLDERS]
        folders = []
        for name in visible:
            path = folder / name
            found = _looked_at(path, path.relative_to(root).as_posix())
            if found is None:
                folders.append(path)
            else:
                yield path.relative_to(root).as_posix(), found
        # In reverse, because the last is entered first: of two ways to a folder, the first name wins.
        pending += reversed(folders)


def _is_output_of_a_run(folder: Path) -> bool:
    return any(os.path.isfile(folder / marker) for marker in ("cache/workspace.json", EXPORT_MARKER))


def _looked_at(path: Path, name: str) -> FoundFile | Skipped | None:
    """The file, or why it is none that can be used; None for a folder."""
    try:
        status = path.stat()
    except OSError as error:
        return Skipped(name, _why(error, "file"))
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe would wait forever.
        return Skipped(name, "not a regular file")
    return FoundFile(name, path, status.st_size, status.st_mtime_ns)


def _why(error: OSError, kind: str) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"a link to a {kind} that is not there"
        case errno.ELOOP:
            return "a link that leads back to itself"
    return f"{kind} cannot be read: {error.strerror}"
