"""`sfm retrieve --query`: which photos of a collection look like a given one, be it one of them or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import Pair
from retrieval.hits import Hit, ImageIndex
from sfm.errors import InputError
from sfm.ingest import thumbnail_path
from sfm.matching import Backend
from sfm.pairs.pair_states import PairState
from sfm.pairs.photo_index import errors_for_users
from sfm.pairs.query_files import Query, QueryFiles
from sfm.types import Collection


@dataclass(frozen=True, slots=True)
class Found:
    """One photo that a query found."""

    rank: int
    """From 1."""
    name: str
    score: float
    """Similarity in (0, 1]."""
    pair: PairState | None
    """How far the pair with the query has come; None when it isn't in the scene graph, or cannot be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query found, best first; fewer than asked for where no more photos are alike at all."""

    text: str
    """As the user gave it."""
    name: str
    """In the collection, or of the file."""
    num_descriptors: int | None
    """Of a photo that isn't in the collection; None for one that is."""
    found: tuple[Found, ...]
    picture: Path = field(repr=False)
    """Thumbnail of the query; may be gone."""
    thumbnails: Mapping[str, Path] = field(repr=False)
    """Of the photos found, by name."""

    @property
    def in_collection(self) -> bool:
        """Whether the query is one of the photos that were searched."""
        return self.num_descriptors is None

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "query": self.text,
            "name": self.name,
            "in_collection": self.in_collection,
            "num_descriptors": self.num_descriptors,
            "found": [_found_as_dict(found) for found in self.found],
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What all queries found, and the contact sheet that shows it."""

    answers: tuple[Answer, ...]
    sheet: Path
    num_photos: int
    """Photos that were searched."""

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        answers = [answer.to_dict() for answer in self.answers]
        return {"num_photos": self.num_photos, "sheet": str(self.sheet), "queries": answers}


def _found_as_dict(found: Found) -> dict[str, object]:
    pair = found.pair
    return {
        "rank": found.rank,
        "name": found.name,
        "score": found.score,
        "in_scene_graph": pair is not None,
        "reason": pair.reason if pair else None,
        "matched": bool(pair and pair.matched),
        "verified": bool(pair and pair.verified),
        "num_inliers": pair.num_inliers if pair else 0,
    }


def answer_queries(
    queries: Sequence[Query],
    *,
    files: QueryFiles,
    index: ImageIndex,
    backend: Backend,
    collection: Collection,
    pairs: Mapping[Pair, PairState],
    cache_dir: Path,
    top: int,
) -> list[Answer]:
    """The `top` photos that look most like each query.

    Args:
        queries: from `files.resolve`.
        files: the foreign photos.
        index: all photos of the collection.
        backend: has described the collection.
        collection: the photos that are searched.
        pairs: what is known of pairs of them.
        cache_dir: of the collection's thumbnails.
        top: hits a query; may exceed the number of photos.
    """
    described = _foreign_descriptors(queries, files, backend, collection)
    thumbnails = {photo.name: thumbnail_path(cache_dir, photo) for photo in collection.photos}
    answers = []
    for query in queries:
        if query.foreign is None and query.name not in thumbnails:
            reasons = {skipped.name: skipped.reason for skipped in collection.skipped}
            raise InputError(f"{query.text} could not be described: {reasons.get(query.name, 'unreadable')}")
        if query.foreign is None:
            found = _found(index.query(query.name, top), query.name, pairs)
            number, picture = None, thumbnails[query.name]
        else:
            descriptors = described.get(query.foreign.name)
            number = 0 if descriptors is None else len(descriptors)
            with errors_for_users():
                hits = index.query(descriptors, top) if descriptors is not None and number else []
            found, picture = _found(hits, None, pairs), thumbnail_path(files.scratch.cache, query.foreign)
        shown = {hit.name: thumbnails[hit.name] for hit in found}
        answers.append(Answer(query.text, query.name, number, found, picture, shown))
    return answers


def _foreign_descriptors(
    queries: Sequence[Query], files: QueryFiles, backend: Backend, collection: Collection
) -> Mapping[str, NDArray[np.float32]]:
    wanted = {query.foreign.name for query in queries if query.foreign is not None}
    photos = tuple(photo for photo in files.collection.photos if photo.name in wanted)
    if not photos:
        return {}
    strangers = Collection(photos, files.collection.cameras)
    return backend.foreign_descriptors(strangers, collection, files.scratch)


def _found(hits: Sequence[Hit], name: str | None, pairs: Mapping[Pair, PairState]) -> tuple[Found, ...]:
    return tuple(
        Found(rank, hit.name, hit.score, None if name is None else pairs.get(Pair.of(name, hit.name)))
        for rank, hit in enumerate(hits, start=1)
    )
