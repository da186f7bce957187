"""Which files under the photos folder are photos."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection as Group
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

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
    """A file whose suffix says that it is a photo."""

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
    """Photo files under `root`, subfolders and linked folders included.

    Left out: what is hidden, folders that systems put beside photos, and outputs of earlier runs.

    Args:
        root: an existing folder.
        excluded: folders not to enter.
    """
    files: list[FoundFile] = []
    unreachable: list[Skipped] = []
    ignored: list[str] = []
    for entry in _entries(root, {Path(os.path.realpath(p)) for p in excluded}, unreachable):
        name = PurePosixPath(Path(entry.path).relative_to(root)).as_posix()
        if Path(entry.name).suffix.lower() not in PHOTO_SUFFIXES:
            ignored.append(name)
            continue
        found = _regular_file(entry, name)
        if isinstance(found, FoundFile):
            files.append(found)
        else:
            unreachable.append(found)
    files.sort(key=lambda file: file.name)
    return Listing(tuple(files), tuple(unreachable), len(ignored), tuple(sorted(ignored)[:_NUM_EXAMPLES]))


def with_earlier(listing: Listing, earlier: Sequence[FoundFile], folder: str) -> Listing:
    """A listing that begins with files from elsewhere, which keep their names.

    Args:
        listing: of a folder; its files that are among the earlier ones, by their place on the disk, are not
            listed again, and others of the same name get `folder` before it.
        earlier: photos that have a name already.
        folder: what tells names apart.
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


def _entries(root: Path, excluded: set[Path], unreachable: list[Skipped]) -> Iterator[os.DirEntry[str]]:
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
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            name = folder.relative_to(root).as_posix()
            unreachable.append(Skipped(name, f"folder cannot be listed: {error.strerror}"))
            continue
        visible = [e for e in entries if not e.name.startswith(".") and e.name not in IGNORED_FOLDERS]
        # In reverse, because the last is entered first: of two ways to a folder, the first name wins.
        pending += [Path(e.path) for e in reversed(visible) if e.is_dir()]
        yield from (e for e in visible if not e.is_dir())


def _is_output_of_a_run(folder: Path) -> bool:
    return (folder / "cache" / "workspace.json").is_file()


def _regular_file(entry: os.DirEntry[str], name: str) -> FoundFile | Skipped:
    try:
        status = entry.stat()
    except FileNotFoundError:
        return Skipped(name, "a link to a file that is not there")
    except OSError as error:
        return Skipped(name, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe would wait forever.
        return Skipped(name, "not a regular file")
    return FoundFile(name, Path(entry.path), status.st_size, status.st_mtime_ns)
