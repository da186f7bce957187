"""`images_dir` as the photo folder of the model: one entry per photo, under its name in the model."""

from __future__ import annotations

import errno
import filecmp
import itertools
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path

from sfm.errors import WorkspaceError
from sfm.files.scratch import beside
from sfm.ingest.examine import origin_of_copy
from sfm.untrusted.names import place_below

log = logging.getLogger(__name__)

_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})
_UNACCEPTABLE_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})


class NameNotPossibleError(Exception):
    """The file system of `images_dir` does not take a photo's name."""


def refuse_linked_files(images_dir: Path) -> None:
    """Refuse an `images_dir` that is a link to a folder with files of the user's, which would give way.

    Raises:
        WorkspaceError: files are there that this program did not put there; names one.
    """
    if not images_dir.is_symlink():
        return
    others = (path for _, path in _files_below(images_dir) if not path.is_symlink())
    found = next((path for path in others if origin_of_copy(path) is None), None)
    if found is not None and _takes_links(found.parent):
        raise WorkspaceError(
            f"{images_dir} is a link to {os.path.realpath(images_dir)}, which holds files that sfm "
            f"did not put there ({found.relative_to(images_dir)})",
            hint="remove the link, or choose another output folder",
        )


def link_photo(source: Path, target: Path, *, owned: bool) -> None:
    """Let `target` lead to the user's photo `source`: by a link where links are possible, else by a copy.

    `owned` means that an earlier run put a file at `target`.

    Raises:
        NameNotPossibleError: the name is too long or otherwise impossible for the file system.
        WorkspaceError: something that this program did not put there is in the way.
        OSError: the folder cannot be written.
    """
    source = source.absolute()
    with _impossible_names_reported(target):
        if target.is_symlink() and os.readlink(target) == str(source):
            return
        if not _holds(target, source, owned=owned):
            _put(source, target, symbolic=True)


def link_copy(source: Path, target: Path, *, owned: bool) -> None:
    """Let `target` be the converted copy `source`, sharing its disk space if possible; see `link_photo`."""
    with _impossible_names_reported(target):
        if not _holds(target, source, owned=owned):
            _put(source, target, symbolic=False)


def link_masks(masks: Mapping[str, Path], folder: Path) -> None:
    """Make `folder`, which is all ours, hold exactly a link `<name>.png` for each mask."""
    wanted = {f"{name}.png" for name in masks}
    for name, path in _files_below(folder):
        if name not in wanted:
            path.unlink()
    for name, source in masks.items():
        target = place_below(folder, f"{name}.png")
        if not (target.is_symlink() and os.readlink(target) == str(source.absolute())):
            _put(source.absolute(), target, symbolic=True)


def remove_stale(images_dir: Path, *, root: Path, wanted: Set[str], owned: Set[str]) -> tuple[str, ...]:
    """Remove entries of photos that are no longer there, and folders left empty by that; nothing else.

    Args:
        root: the user's photo folder.
        wanted: names of entries that stay.
        owned: names that earlier runs put there.

    Returns:
        Names of the removed entries.
    """
    removed = []
    for name, path in _files_below(images_dir):
        if name in wanted or not (name in owned or _is_ours(path, root)):
            continue
        if _is_ours(path, root) or not _takes_links(path.parent):
            path.unlink()
        else:
            _set_aside(path)
        removed.append(name)
        _remove_empty_parents(path, images_dir)
    return tuple(removed)


def _is_ours(path: Path, root: Path) -> bool:
    if path.is_symlink():
        return Path(os.readlink(path)).is_relative_to(root.absolute())
    return origin_of_copy(path) is not None


def _files_below(folder: Path) -> list[tuple[str, Path]]:
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return sorted((path.relative_to(folder).as_posix(), path) for path in paths)


def _remove_empty_parents(path: Path, top: Path) -> None:
    for folder in path.parents:
        if folder == top or any(folder.iterdir()):
            return
        folder.rmdir()


@contextmanager
def _impossible_names_reported(target: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        files = (path for path in target.parents if path.exists() and not path.is_dir())
        raise _in_the_way(next(files, target)) from error
    except OSError as error:
        if error.errno not in _UNACCEPTABLE_NAME:
            raise
        reason = f"its name is not possible in {target.parent}: {error.strerror}"
        raise NameNotPossibleError(reason) from error


def _holds(target: Path, source: Path, *, owned: bool) -> bool:
    """True when `target` is the file `source` or a copy; False when it may be replaced or is free."""
    if target.is_symlink() or not target.exists():
        return False
    if target.is_file() and (os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False)):
        return True
    is_copy = target.is_file() and origin_of_copy(target) is not None
    if not is_copy and not (owned and target.is_file()):
        raise _in_the_way(target)
    if not is_copy and _takes_links(target.parent):
        _set_aside(target)
    return False


def _takes_links(folder: Path) -> bool:
    """Whether links can be made in a folder: if so, no plain file there is a photo's entry of ours."""
    probe = beside(folder / "link")
    try:
        os.symlink("nowhere", probe)
    except OSError:
        return False
    probe.unlink()
    return True


def _set_aside(path: Path) -> None:
    """Keep a file where a link or a copy of ours was: somebody may have put it there since."""
    numbered = (path.with_name(f"{path.name}.kept{number}") for number in itertools.count(2))
    places = itertools.chain([path.with_name(f"{path.name}.kept")], numbered)
    kept = next(place for place in places if not os.path.lexists(place))
    path.rename(kept)
    log.warning("%s: kept as %s, since it is not what sfm put there", path, kept.name)


def _in_the_way(path: Path) -> WorkspaceError:
    return WorkspaceError(
        f"{path} was not put there by sfm and stands in the way of a photo of that name",
        hint="move it elsewhere; OUT/images holds only what sfm puts there",
    )


def _put(source: Path, target: Path, *, symbolic: bool) -> None:
    # Built beside its place and renamed, so that a killed run leaves no half copy under a photo's name.
    scratch = beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(source, scratch, symbolic=symbolic)
        os.replace(scratch, target)
    finally:
        scratch.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path, *, symbolic: bool) -> None:
    for link in (os.symlink, os.link) if symbolic else (os.link,):
        try:
            return link(source, target)
        except OSError as error:
            # Other errors mean that this file system, or this user, cannot make such links.
            if error.errno in _FATAL:
                raise
    shutil.copyfile(source, target)
