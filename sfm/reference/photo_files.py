"""Where the photos of a model lie."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sfm.errors import InputError
from sfm.files.atomic import atomic_write_json
from sfm.ingest.discover import FoundFile, found_file
from sfm.ingest.examine import origin_of_copy
from sfm.types import Collection
from sfm.untrusted.documents import fits, read_cache
from sfm.untrusted.names import path_below
from sfm.workspace.workspace import MARKER

_LISTED = 3
_SOURCES = "sources.json"


def photos_in(folder: Path, names: Iterable[str]) -> tuple[FoundFile, ...]:
    """The photos of a model in the folder that its names refer to, by name.

    Raises:
        InputError: no such folder, or photos that are not in it; names some.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder", hint="--images is the folder that the names in the model refer to"
        )
    paths = {name: path_below(folder.absolute(), name) for name in sorted(names)}
    _require(list(paths.values()))
    return tuple(found_file(name, path) for name, path in paths.items())


def workspace_photos(root: Path, names: Iterable[str]) -> tuple[FoundFile, ...]:
    """The user's files behind `root/images`, by the names that they have in their own folder.

    Raises:
        InputError: files that are not there any more; names some.
    """
    places = {name: path_below(root / "images", name) for name in sorted(names)}
    files = {name: Path(os.readlink(p)) if p.is_symlink() else p for name, p in places.items()}
    _require(list(files.values()))
    copies = {
        name: origin for name, p in places.items() if not p.is_symlink() and (origin := origin_of_copy(p))
    }
    if copies:
        originals = _files_by_content(root)
        for name, content in copies.items():
            if content not in originals:
                raise InputError(
                    f"nobody knows what {places[name]} was converted from",
                    hint="run `sfm run` again on the photos, then extend its result",
                )
            del files[name]
            original, path = originals[content]
            files[original] = path
        _require(list(files.values()))
    return tuple(found_file(name, path) for name, path in sorted(files.items()))


def remember_sources(cache_dir: Path, collection: Collection) -> None:
    """Keep where each photo was read, for photos that do not lie below one folder."""
    sources = {photo.sha256: [photo.name, str(photo.source)] for photo in collection.photos}
    atomic_write_json(cache_dir / _SOURCES, sources)


def _files_by_content(root: Path) -> dict[str, tuple[str, Path]]:
    stored = read_cache(root / "cache" / _SOURCES, {str: [str]})
    if stored is not None and all(len(place) == 2 for place in stored.values()):
        return {
            content: (str(Path(name).with_suffix("")), Path(path)) for content, (name, path) in stored.items()
        }
    marker = read_cache(root / "cache" / MARKER, {"source": str})
    manifest = read_cache(root / "cache" / "images.json", {"photos": {str: [object]}})
    if marker is None or manifest is None:
        return {}
    source, photos = Path(marker["source"]), manifest["photos"]
    return {
        entry[2]["sha256"]: (name, path_below(source, name))
        for name, entry in photos.items()
        if len(entry) == 3 and fits(entry[2], {"sha256": str})
    }


def _require(paths: Sequence[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        listed = ", ".join(str(path) for path in missing[:_LISTED])
        rest = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise InputError(
            f"{len(missing)} of the model's {len(paths)} photos are missing: {listed}{rest}",
            hint="put them back, or give their folder: --images FOLDER",
        )
