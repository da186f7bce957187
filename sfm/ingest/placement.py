"""Sound photos get their names in the model and their places in its photo folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sfm.ingest.discover import FoundFile
from sfm.ingest.examine import Examined, Shelf
from sfm.ingest.manifest import Manifest
from sfm.ingest.names import model_name, unique_name
from sfm.ingest.place import NameNotPossibleError, link_copy, link_photo, refuse_linked_files, remove_stale
from sfm.types import Skipped
from sfm.untrusted.names import UnusableNameError, place_below


@dataclass(frozen=True, slots=True)
class SoundPhoto:
    """A photo that will be part of the collection."""

    name: str
    """Name in the model."""
    file: FoundFile
    found: Examined


def name_photos(sound: Sequence[tuple[FoundFile, Examined]]) -> list[SoundPhoto]:
    """Photos with unique model names, sorted by them."""
    taken: set[str] = set()
    named = []
    # Photos that keep their name come first, so that a converted one never takes it from them.
    for file, found in sorted(sound, key=lambda pair: (bool(pair[1].copy_suffix), pair[0].name)):
        name = unique_name(model_name(file.name) + found.copy_suffix, taken)
        taken.add(name)
        named.append(SoundPhoto(name, file, found))
    return sorted(named, key=lambda photo: photo.name)


def place_photos(
    photos: Sequence[SoundPhoto],
    root: Path,
    images_dir: Path,
    shelf: Shelf,
    manifest: Manifest,
    skipped: list[Skipped],
) -> list[SoundPhoto]:
    """Make `images_dir` hold these photos; those that cannot be there are appended to `skipped`."""
    refuse_linked_files(images_dir)
    gone = [photo for photo in photos if not os.path.isfile(photo.file.path)]
    skipped += [Skipped(photo.file.name, "gone since it was read") for photo in gone]
    photos = [photo for photo in photos if photo not in gone]
    owned = manifest.placed
    manifest.placed = owned | {photo.name for photo in photos}
    # Before the first link is made: after a kill, the next run must know what is ours.
    manifest.save()
    remove_stale(images_dir, root=root, wanted={photo.name for photo in photos}, owned=owned)
    placed = []
    for photo in photos:
        is_owned = photo.name in owned
        try:
            target = place_below(images_dir, photo.name)
            if photo.found.copy_suffix:
                copy = shelf.copy(photo.found.sha256, photo.found.copy_suffix)
                link_copy(copy, target, owned=is_owned)
            else:
                link_photo(photo.file.path, target, owned=is_owned)
        except (NameNotPossibleError, UnusableNameError) as error:
            skipped.append(Skipped(photo.file.name, str(error)))
            continue
        placed.append(photo)
    manifest.placed = frozenset(photo.name for photo in placed)
    return placed
