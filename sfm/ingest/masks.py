"""Masks that belong to photos, checked before anything is computed with them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sfm.errors import InputError
from sfm.files.atomic import atomic_write_bytes
from sfm.ingest.decode import UnusablePhotoError, decode, open_photo, stored_size
from sfm.ingest.manifest import Manifest
from sfm.ingest.place import link_masks
from sfm.untrusted.names import path_below

_NUM_LISTED = 10

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Maskable:
    """A photo that may have a mask."""

    name: str
    """Name in the model."""
    source_name: str
    """Name in the user's folder; differs for converted photos."""
    source: Path
    size: Size
    """Of the pixels that the model refers to, px."""
    orientation: int


def masks_dir(cache_dir: Path) -> Path:
    """The folder to give to COLMAP as `mask_path`.

    It holds `<photo name>.png` for each photo: a link to the mask, or to a white one. COLMAP leaves out
    photos whose mask it doesn't find.
    """
    return cache_dir / "masks"


def find_masks(
    photos: Sequence[Maskable], folder: Path, manifest: Manifest, *, cache_dir: Path, threads: int
) -> Mapping[str, Path]:
    """Masks by name of photo; photos without a mask are not in it.

    A mask is `<photo>.png`, as in COLMAP (`a/b.jpg.png` for `a/b.jpg`; `c.png` also for `c.png`), has the
    photo's stored pixels, and is black where no keypoints are wanted. `masks_dir(cache_dir)` is made to fit.

    Raises:
        InputError: no folder, no mask fits any photo, or masks that are unreadable or of another size.
    """
    if not folder.is_dir():
        raise InputError(
            f"images.masks: {folder} {'is not a folder' if folder.exists() else 'does not exist'}",
            hint="give a folder with a mask for each photo, named like it with .png appended",
        )
    masks = {photo.name: path for photo in photos for path in _candidates(photo, folder)}
    if photos and not masks:
        names = (Path(place, name) for place, _, names in os.walk(folder) for name in sorted(names))
        found = next((path.relative_to(folder).as_posix() for path in names), "nothing")
        raise InputError(
            f"images.masks: {folder} has no mask for any photo: looked for {photos[0].source_name}.png and "
            f"the like, found {found}",
            hint="name a mask like its photo with .png appended, in the same subfolder",
        )
    masked = [photo for photo in photos if photo.name in masks]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        problems = list(pool.map(lambda photo: _problem(photo, masks[photo.name], manifest), masked))
    _refuse([problem for problem in problems if problem])
    place_masks({photo.name: photo.size for photo in photos}, masks, cache_dir)
    return masks


def place_masks(sizes: Mapping[str, Size], masks: Mapping[str, Path], cache_dir: Path) -> None:
    """Make `masks_dir(cache_dir)` fit: a mask by name of photo, and a white one for each photo without."""
    whites = {name: _white_mask(size, cache_dir) for name, size in sizes.items() if name not in masks}
    link_masks({**masks, **whites}, masks_dir(cache_dir))


def _white_mask(size: Size, cache_dir: Path) -> Path:
    path = cache_dir / "white_masks" / f"{size[0]}x{size[1]}.png"
    if not path.is_file():
        buffer = io.BytesIO()
        Image.new("1", size, 1).save(buffer, "PNG")
        atomic_write_bytes(path, buffer.getvalue())
    return path


def _candidates(photo: Maskable, folder: Path) -> Iterator[Path]:
    names = [f"{photo.name}.png", f"{photo.source_name}.png"]
    if photo.source_name.lower().endswith(".png"):
        names.append(photo.source_name)
    paths = (path_below(folder, name) for name in names)
    try:
        yield from [path for path in paths if path.is_file() and not path.samefile(photo.source)][:1]
    except OSError as error:
        raise InputError(f"images.masks: {error.filename} cannot be read: {error.strerror}") from error


def _problem(photo: Maskable, path: Path, manifest: Manifest) -> str:
    try:
        size = manifest.mask(path) or _checked_size(path, photo.size, manifest)
    except (OSError, UnusablePhotoError) as error:
        return f"{path} cannot be read: {error}"
    if size == photo.size:
        return ""
    text = f"{path} is {size[0]} x {size[1]} px, its photo {photo.size[0]} x {photo.size[1]}"
    turned = photo.orientation >= 5 and size == photo.size[::-1]
    return f"{text} as stored (the mask is turned upright, by its EXIF orientation)" if turned else text


def _checked_size(path: Path, wanted: Size, manifest: Manifest) -> Size:
    """The size in the header; only a mask that fits is decoded."""
    with open_photo(path) as image:
        size = stored_size(image)
        if size == wanted:
            decode(image)
            manifest.set_mask(path, size)
    return size


def _refuse(problems: Sequence[str]) -> None:
    if not problems:
        return
    shown = [*problems[:_NUM_LISTED]]
    if len(problems) > _NUM_LISTED:
        shown.append(f"and {len(problems) - _NUM_LISTED} more")
    raise InputError(
        f"images.masks: {len(problems)} masks do not fit: " + "; ".join(shown),
        hint="a mask has exactly the stored pixels of its photo, EXIF orientation not applied",
    )
