"""Masks over what all photos of a folder show at the same pixels.

What was found is kept in the workspace, so that a later run starts from it.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.files.atomic import atomic_write_bytes, atomic_write_json
from sfm.ingest.decode import decode, load_gray, open_photo
from sfm.ingest.masks import place_masks
from sfm.matching.overlays import COLUMNS, FINER, ROWS, Matches, overlay, resting_cells
from sfm.stages.session import PhotoSession
from sfm.types import Collection, Photo
from sfm.untrusted.documents import read_cache

log = logging.getLogger(__name__)

_FILE = "overlays.json"
_PHOTO = "photo "
"""Before the name of a photo with cells of its own; those of all others of its size are without."""
_REDUCED = 320
"""Longer side of photos that are compared with their background, px."""
_MAX_PAIRS = 400
"""Of a group of photos; more only cost time."""

Cells = NDArray[np.bool_]


def with_overlays_masked(
    session: PhotoSession, collection: Collection, database: FeatureDatabase
) -> Collection:
    """The collection with masks over overlays that the matches of its photos show.

    The features of these photos are then stale.
    """
    space, known = session.workspace, _load(session.workspace.cache)
    found: dict[str, Cells] = {}
    for key, photos in _groups(collection).items():
        size = photos[0].width, photos[0].height
        resting = overlay(_matches(photos, database), size, len(photos))
        if resting is None:
            continue
        if resting.is_camera_still:
            cells_of = resting_cells([_reduced(photo) for photo in photos])
            if cells_of is None:
                continue
            own = {_PHOTO + photo.name: one for photo, one in zip(photos, cells_of, strict=True)}
            what = "stand around something that moves before a camera on a tripod, as on a turntable"
        else:
            own = {key: resting.cells}
            what = "show the same thing at the same pixels, such as a logo or what carries the camera"
        new = {name: cells | known.get(name, np.zeros_like(cells)) for name, cells in own.items()}
        if all(name in known and (cells == known[name]).all() for name, cells in new.items()):
            continue
        found |= new
        covered = round(float(np.mean(list(new.values()))), 3)
        space.events.emit("match", "overlay", photos=len(photos), example=photos[0].name, covered=covered)
        log.warning(
            "%d photos like %s %s; these %.0f %% of the picture are masked",
            len(photos),
            photos[0].name,
            what,
            100 * covered,
        )
    if not found:
        return collection
    rows = {
        key: ["".join("01"[cell] for cell in row) for row in cells.astype(int)]
        for key, cells in (known | found).items()
    }
    atomic_write_json(space.cache / _FILE, rows)
    return with_known_overlays(collection, space.cache)


def with_known_overlays(collection: Collection, cache_dir: Path) -> Collection:
    """The collection with masks over the overlays that are remembered."""
    known = _load(cache_dir)
    if not known:
        return collection
    photos = tuple(
        photo
        if cells is None
        else replace(photo, mask=_masked(photo, cells, cache_dir), is_camera_still=own in known)
        for photo in collection.photos
        for own in [_PHOTO + photo.name]
        for cells in [known.get(own, known.get(_key(photo)))]
    )
    place_masks(
        {photo.name: (photo.width, photo.height) for photo in photos},
        {photo.name: photo.mask for photo in photos if photo.mask is not None},
        cache_dir,
    )
    return replace(collection, photos=photos)


def _groups(collection: Collection) -> Mapping[str, Sequence[Photo]]:
    groups: dict[str, list[Photo]] = {}
    for photo in collection.photos:
        groups.setdefault(_key(photo), []).append(photo)
    return groups


def _key(photo: Photo) -> str:
    return f"{photo.width}x{photo.height} {photo.name.rpartition('/')[0]}"


def _matches(photos: Sequence[Photo], database: FeatureDatabase) -> Iterator[Matches]:
    names, ids = {photo.name for photo in photos}, database.image_ids()
    pairs: list[Pair] = [pair for pair in sorted(database.matched_pairs()) if {pair.a, pair.b} <= names]
    with pycolmap.Database.open(database.path) as db:
        for pair in pairs[:: 1 + len(pairs) // _MAX_PAIRS]:
            a, b = ids[pair.a], ids[pair.b]
            in_a, in_b = np.asarray(db.read_matches(a, b), np.int64).reshape(-1, 2).T
            if len(in_a):
                yield pair, db.read_keypoints(a)[in_a, :2], db.read_keypoints(b)[in_b, :2]


def _reduced(photo: Photo) -> NDArray[np.uint8]:
    return load_gray(photo.path, max_size=_REDUCED)


def _masked(photo: Photo, cells: Cells, cache_dir: Path) -> Path:
    """The photo's mask, if it has one, without the cells."""
    size = (photo.width, photo.height)
    covered = Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)
    mask = np.ones(size[::-1], np.bool_)
    content = b""
    if photo.mask is not None:
        content = photo.mask.read_bytes()
        with open_photo(photo.mask) as image:
            decode(image)
            mask = np.asarray(image.convert("L")) > 0
    digest = hashlib.sha256(content + np.packbits(cells).tobytes() + repr(size).encode()).hexdigest()
    path = cache_dir / "overlays" / f"{digest}.png"
    if not path.is_file():
        buffer = io.BytesIO()
        Image.fromarray(mask & ~np.asarray(covered)).save(buffer, "PNG")
        atomic_write_bytes(path, buffer.getvalue())
    return path


def _load(cache_dir: Path) -> dict[str, Cells]:
    stored = read_cache(cache_dir / _FILE, {str: [str]}) or {}
    return {
        key: np.array([[cell == "1" for cell in row] for row in rows])
        for key, rows in stored.items()
        if {len(row) * ROWS for row in rows} == {len(rows) * COLUMNS} and len(rows) in (ROWS, FINER * ROWS)
    }
