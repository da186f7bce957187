"""Which files of an export are its own, and how those of others outlive its renewal."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from sfm.colmap.model_poses import EXPORT_MARKER, read_export_marker
from sfm.errors import WorkspaceError
from sfm.exports.names import listed
from sfm.files.atomic import atomic_write_json

log = logging.getLogger(__name__)

MARKER = EXPORT_MARKER
"""File in every exported folder that marks it as ours: our files, and the photo behind each exported name."""

BESIDE = "beside"
"""In the marker of a scene's first folder: the files beside it, as they were written last and before."""
_KEPT = ".kept"


def write_marker(folder: Path, content: Mapping[str, object]) -> None:
    """Write down `content`, and all files in the folder as the export's own: size, time and hash of each."""
    files = {place.as_posix(): described(folder / place) for place in _files(folder)}
    atomic_write_json(folder / MARKER, {**content, "files": files})


Kind = Literal["export", "scene", "models"]
"""What a marked folder holds: a scene and models are parts of the output of a run."""
_WORDS: Mapping[Kind, str] = {
    "export": "an export",
    "scene": "the scene of a run",
    "models": "models of a run",
}


def refuse_foreign(destination: Path, kind: Kind = "export") -> None:
    """Refuse to write into what is neither new, empty nor an earlier folder of this kind.

    Raises:
        WorkspaceError: the place holds something else.
    """
    if os.path.exists(destination) and not os.path.isdir(destination):
        raise WorkspaceError(f"{destination} is a file", hint="give a folder for the export")
    if not os.path.isdir(destination):
        return
    hint = "move it, or choose another output" if kind == "scene" else "choose a new or empty folder"
    if (destination / MARKER).is_file():
        holds = _kind_of(destination)
        if holds not in (kind, None):
            raise WorkspaceError(f"{destination} holds {_WORDS[holds]}, not {_WORDS[kind]}", hint=hint)
        return
    entry = next(destination.iterdir(), None)
    if entry is not None:
        raise WorkspaceError(
            f"{destination} is not empty and is not an earlier export (it holds {entry.name})", hint=hint
        )


def _kind_of(folder: Path) -> Kind | None:
    """None where its marker is damaged."""
    marker = read_export_marker(folder)
    if BESIDE in marker:
        return "scene"
    if "format" in marker:
        return "export"
    return "models" if (folder / "0").is_dir() else None


def changed_files(folder: Path) -> tuple[PurePosixPath, ...]:
    """Files that differ from the marker's record, or are not in it; none without a marker."""
    own = _own(folder)
    if own is None:
        return ()
    places = (place for place in _files(folder) if place.as_posix() != MARKER)
    return tuple(place for place in places if not is_unchanged(folder / place, own.get(place.as_posix())))


@dataclass(slots=True)
class Keeper:
    """Carries what others put into an export, or changed in it, over into its renewal."""

    is_own: Callable[[PurePosixPath], bool] | None = None
    """Whether a place is one of the export's own files; without it the list in the marker decides."""
    kept: dict[PurePosixPath, PurePosixPath] = field(default_factory=dict)
    """New place of each file that was carried, by its place in the old folder."""

    def carry(self, old: Path, new: Path) -> None:
        """Give the new folder what isn't the export's own in the old one; files share their disk space.

        A file whose place is taken in the new folder gets `.kept` behind its name. A second call only
        carries files that came since the first.
        """
        own, known = _own(old), set(_known(new))
        for place in _files(old):
            name = place.as_posix()
            if name == MARKER or (place in self.kept and _is_same(old / place, new / self.kept[place])):
                continue
            if self.is_own is not None:
                if self.is_own(place):
                    continue
            # Exports of earlier versions have no list: what the new one writes again was theirs.
            elif name in known if own is None else is_unchanged(old / place, own.get(name)):
                continue
            self.kept[place] = _free_place(new, place, old)
            _link(old / place, new / self.kept[place])

    def report(self, folder: Path) -> None:
        """Print one line about the files that were kept."""
        if not self.kept:
            return
        shown = [f"{old} as {new.name}" if old != new else str(old) for old, new in sorted(self.kept.items())]
        count = "1 file" if len(shown) == 1 else f"{len(shown)} files"
        log.warning("%s: kept %s that others wrote or changed: %s", folder, count, listed(shown))


def _files(folder: Path) -> Iterator[PurePosixPath]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        for found in sorted([*names, *links]):
            yield PurePosixPath((here / found).relative_to(folder).as_posix())


def _raise(error: OSError) -> None:
    raise error


def described(path: Path) -> list[object]:
    """What tells a file of ours from what others make of it: size, time and hash."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, _hash(path)]


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _known(folder: Path) -> Mapping[str, object]:
    return _own(folder) or {}


def _own(folder: Path) -> Mapping[str, object] | None:
    """The marker's record of the files in a folder; None without a readable one."""
    files = read_export_marker(folder).get("files")
    return files if isinstance(files, dict) else None


def is_unchanged(path: Path, known: object) -> bool:
    """Whether a file is still the one that the export wrote; a copy has new times, but the same bytes."""
    if path.is_symlink() or not path.is_file() or not isinstance(known, list) or len(known) != 3:
        return False
    status = path.stat()
    if status.st_size != known[0]:
        return False
    return bool(status.st_mtime_ns == known[1]) or _hash(path) == known[2]


def _is_same(a: Path, b: Path) -> bool:
    if a.is_symlink() or b.is_symlink():
        return a.is_symlink() and b.is_symlink() and os.readlink(a) == os.readlink(b)
    if not a.is_file() or not b.is_file():
        return False
    same = (a.stat().st_size, a.stat().st_mtime_ns) == (b.stat().st_size, b.stat().st_mtime_ns)
    return os.path.samefile(a, b) or same


def _free_place(folder: Path, place: PurePosixPath, old: Path) -> PurePosixPath:
    """The place itself, or one beside it, free in both folders, where it or one on its way is taken."""
    free = PurePosixPath()
    for part in place.parts:
        is_last = len(free.parts) + 1 == len(place.parts)
        candidate, number = free / part, 1
        while _is_taken(folder / candidate, is_last) or (number > 1 and _is_taken(old / candidate, is_last)):
            candidate = free / f"{part}{_KEPT}{number if number > 1 else ''}"
            number += 1
        free = candidate
    return free


def _is_taken(path: Path, for_file: bool) -> bool:
    return os.path.lexists(path) and (for_file or path.is_symlink() or not path.is_dir())


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
        return
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
