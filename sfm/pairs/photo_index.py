"""The retrieval index over all images of a run: an earlier one where it is valid, extended by new images.

Files in the index folder are a cache. Those that cannot be read, or belong to other images or another
matcher, are named in a warning and made again.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import RetrievalConfig
from retrieval.codebook import Codebook, train_codebook
from retrieval.engine import build_index
from retrieval.errors import MissingEngineError, RetrievalError
from retrieval.hits import ImageIndex
from retrieval.index import RetrievalIndex
from sfm.colmap.database import FeatureDatabase
from sfm.errors import InputError, MissingDependencyError
from sfm.files.atomic import atomic_write_json
from sfm.matching import Backend
from sfm.types import Collection
from sfm.untrusted.documents import read_json
from sfm.workspace.workspace import content_key

log = logging.getLogger(__name__)

_VERSION = 3
_INDEXED = "photos.json"
"""Beside an index: the photos in it, and the hash of each."""
_MOST_GROWTH = 1.5
"""Times as many photos in an index whose words stay although the collection has reached a doubling."""


@contextmanager
def errors_for_users() -> Iterator[None]:
    """Errors of the retrieval package as those that end the command."""
    try:
        yield
    except MissingEngineError as error:
        raise MissingDependencyError(str(error)) from error
    except RetrievalError as error:
        raise InputError(str(error)) from error


def open_index(
    collection: Collection,
    database: FeatureDatabase,
    *,
    cache_dir: Path,
    backend: Backend,
    config: RetrievalConfig,
    seed: int,
) -> ImageIndex:
    """The index over all photos.

    Args:
        collection: photos, described in `database`.
        database: features of the photos.
        cache_dir: keeps the codebook and the index.
        backend: describes photos for retrieval.
        config: retrieval options.
        seed: of the codebook's training.

    Raises:
        InputError: descriptors that cannot be used.
        MissingDependencyError: the engine asmk is chosen and not installed.
    """
    with errors_for_users():
        return _index(collection, database, cache_dir / "index", backend, config, seed)


def _index(
    collection: Collection,
    database: FeatureDatabase,
    parent: Path,
    backend: Backend,
    config: RetrievalConfig,
    seed: int,
) -> ImageIndex:
    options = (config.engine, config.num_descriptors, config.binary, config.multiple_assignment)
    source = backend.retrieval_key(collection)

    def place(size_class: int) -> tuple[Path, Path]:
        training = (seed, config.num_descriptors, config.codebook_size, size_class)
        codebook_key = content_key("codebook", _VERSION, source, *training)
        folder = parent / content_key("index", _VERSION, codebook_key, options)
        return folder, parent / f"codebook-{codebook_key}.safetensors"

    hashes = {photo.name: photo.sha256 for photo in collection.photos}
    size_class = len(hashes).bit_length()
    own, codebook_path = place(size_class)
    folder, index = _earlier_of((own, place(size_class - 1)[0]), source, hashes)
    missing = hashes.keys() - set(index.names if index else ())
    if index and not missing:
        return index
    _remove_other_indices(folder)
    names = [name for name in collection.names if name in missing]
    descriptors = backend.retrieval_descriptors(collection, database, names)
    if index:
        index.add(descriptors)
    else:
        codebook = backend.codebook() or _codebook(codebook_path, descriptors, config, seed)
        built = build_index(codebook, descriptors, config, source=source)
        if not isinstance(built, RetrievalIndex):
            return built
        if not any(map(len, descriptors.values())):
            return built  # kept, photos added later would be compared by words that nothing was learned from
        index = built
    index.save(folder)
    atomic_write_json(folder / _INDEXED, hashes)
    return index


def _earlier_of(
    folders: tuple[Path, Path], source: str, hashes: Mapping[str, str]
) -> tuple[Path, RetrievalIndex | None]:
    """The index to go on with and its folder; without one, the folder that a new one belongs in.

    A codebook stays good while a collection grows a little. It is trained again at each doubling, but not for
    a few photos that happen to reach one.

    Args:
        folders: for as many photos as there are now, and for half of them.
        source: what the descriptors come from.
        hashes: of the photos there are now, by name.
    """
    own, smaller = folders
    if (index := _earlier_index(own, source, hashes)) is not None:
        return own, index
    index = _earlier_index(smaller, source, hashes)
    if index and _MOST_GROWTH * len(index.names) >= len(hashes):
        return smaller, index
    return own, None


def _earlier_index(folder: Path, source: str, hashes: Mapping[str, str]) -> RetrievalIndex | None:
    """The index of an earlier run, unless it is damaged or one of its photos has gone or changed since."""
    if not (folder / _INDEXED).exists():
        return None
    try:
        indexed = _indexed_photos(folder / _INDEXED)
        if any(hashes.get(name) != sha256 for name, sha256 in indexed.items()):
            return None
        index = RetrievalIndex.load(folder, source=source)
    except RetrievalError as error:
        log.warning("the retrieval index is made again: %s", error)
        return None
    # A run that ended between writing the two has photos in one that are not in the other.
    return index if set(index.names) == indexed.keys() else None


def _indexed_photos(path: Path) -> dict[str, str]:
    """Hash of each photo in an index."""
    try:
        indexed = read_json(path, errors="surrogateescape")
    except InputError as error:
        raise RetrievalError(f"{path}: cannot be read as a list of photos: {error}") from error
    if not isinstance(indexed, dict):
        raise RetrievalError(f"{path}: cannot be read as a list of photos: not an object of names")
    return indexed


def _remove_other_indices(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.iterdir():
        if stale.is_dir() and stale != folder:
            shutil.rmtree(stale)
        elif stale.is_file() and not stale.name.startswith("codebook-"):
            stale.unlink()


def _codebook(
    path: Path, descriptors: Mapping[str, NDArray[np.float32]], config: RetrievalConfig, seed: int
) -> Codebook:
    """The words of an earlier run, else trained on these descriptors."""
    if path.exists():
        try:
            return Codebook.load(path)
        except RetrievalError as error:
            log.warning("damaged visual words are trained again: %s", error)
            path.unlink()
    if not any(len(array) for array in descriptors.values()):
        log.warning("no photo has a single feature: none can be compared with another")
        (dim,) = {array.shape[1] for array in descriptors.values()}
        return Codebook(np.zeros((1, dim), np.float32))
    codebook = train_codebook(descriptors.values(), config.codebook_size, seed=seed)
    # Of two photos nothing is chosen, so nothing is lost by words that tell none from another.
    if len(descriptors) > 2 and len(codebook) >= sum(map(len, descriptors.values())):
        log.warning(
            "%d visual words for as many features, each one of its own: no photo will be like another; "
            "more features or a smaller retrieval.codebook_size would help",
            len(codebook),
        )
    codebook.save(path)
    return codebook
