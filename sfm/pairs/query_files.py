"""Photos that a search is asked with: files anywhere, or names of photos of the collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sfm.config.schema import ImagesConfig
from sfm.errors import InputError
from sfm.files.scratch import scratch_folder
from sfm.ingest import ingest
from sfm.ingest.discover import PHOTO_SUFFIXES
from sfm.ingest.names import model_name
from sfm.pairs.photo_names import resolve_photo
from sfm.types import Collection, Photo
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Query:
    """One photo that is asked about."""

    text: str
    """As the user gave it."""
    name: str
    """In the collection, or for a foreign photo that of its file."""
    foreign: Photo | None = None
    """The photo, where it isn't in the collection."""


class QueryFiles:
    """Files that queries name, read and checked before anything else is computed; use `opened`.

    Attributes:
        scratch: workspace of the files alone, gone with the context.
        collection: the sound ones.
    """

    def __init__(self, scratch: Workspace, collection: Collection, photos: Mapping[str, Photo]) -> None:
        self.scratch = scratch
        self.collection = collection
        self._photos = photos

    @classmethod
    @contextmanager
    def opened(
        cls, queries: Sequence[str], photos_dir: Path, config: ImagesConfig, threads: int
    ) -> Iterator[QueryFiles]:
        """Read those of `queries` that are files, as given or below the folder of photos.

        Raises:
            InputError: a file that is no sound photo, or a folder; with its name and the cause.
        """
        with scratch_folder() as folder:
            given, out = folder / "given", folder / "out"
            given.mkdir()
            links = dict(_linked(queries, photos_dir, given))
            with Workspace(out, source=given) as scratch:
                collection = ingest(
                    given,
                    images_dir=scratch.images,
                    cache_dir=scratch.cache,
                    config=ImagesConfig(thumbnail_size=config.thumbnail_size),
                    threads=threads,
                    events=NullEvents(),
                    progress=SilentProgress(),
                    min_photos=0,
                )
                yield cls(scratch, collection, dict(_sound(links, given, collection)))

    def resolve(self, queries: Sequence[str], collection: Collection) -> list[Query]:
        """Each query as a photo of the collection, by content or by name, or as a foreign one.

        Raises:
            InputError: neither a readable file nor the name of one photo.
        """
        by_content = {photo.sha256: photo.name for photo in collection.photos}
        return [self._resolved(text, by_content, collection.names) for text in queries]

    def _resolved(self, text: str, by_content: Mapping[str, str], names: Sequence[str]) -> Query:
        photo = self._photos.get(text)
        if photo is None:
            return Query(text, _named(text, names))
        if photo.sha256 in by_content:
            return Query(text, by_content[photo.sha256])
        return Query(text, Path(text).name, photo)


def _linked(queries: Sequence[str], photos_dir: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Each query that is a file, with the name of the link to it below `folder`."""
    for number, text in enumerate(dict.fromkeys(queries)):
        for path in (Path(text).expanduser(), photos_dir / text):
            if path.is_dir():
                raise InputError(f"{text} is a folder", hint="--query takes one photo; it may be repeated")
            if path.exists():
                link = Path(_photo_name(path))
                if (folder / link).exists():
                    link = Path(f"{number:06d}") / link
                    (folder / link).parent.mkdir()
                (folder / link).symlink_to(path.resolve())
                yield text, link.as_posix()
                break


def _photo_name(path: Path) -> str:
    """The file's own name; another one where that would have it passed over, whatever it holds."""
    is_seen = path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")
    return path.name if is_seen else "query.jpg"


def _sound(links: Mapping[str, str], folder: Path, collection: Collection) -> Iterator[tuple[str, Photo]]:
    """The photo of each link.

    Raises:
        InputError: a link to something else.
    """
    photos = {photo.source.relative_to(folder).as_posix(): photo for photo in collection.photos}
    reasons = {skipped.name: skipped.reason for skipped in collection.skipped}
    same = {name: group[0] for group in collection.duplicates for name in group}
    by_name = {model_name(link): photo for link, photo in photos.items()}
    for text, link in links.items():
        name = model_name(link)
        photo = by_name.get(same.get(name, name))
        if photo is None:
            raise InputError(f"{text} cannot be used as a query: {reasons.get(name, 'it cannot be read')}")
        yield text, photo


def _named(text: str, names: Sequence[str]) -> str:
    try:
        return resolve_photo(text, names)
    except InputError as error:
        raise InputError(f"{text}: no such file, and {error}", hint=error.hint) from error
