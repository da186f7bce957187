"""One file: is it a sound photo, what are its size and metadata, and its thumbnail."""

from __future__ import annotations

import errno
import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from sfm.files.atomic import atomic_write_bytes
from sfm.ingest.colmap_pixels import (
    are_same,
    colmaps_picture,
    colmaps_samples,
    has_deep_integers,
    is_colmap_right,
    needs_comparing,
    our_samples,
)
from sfm.ingest.decode import (
    TooLargeForMemoryError,
    UnusablePhotoError,
    open_photo,
    reduced,
    refuse_if_too_large,
    stored_orientation,
    stored_size,
    upright,
)
from sfm.ingest.discover import FoundFile, found_file
from sfm.ingest.exif import Metadata, read_metadata
from sfm.ingest.memory import COLMAP_BYTES_PER_PIXEL, MemoryBudget, decoding_bytes
from sfm.ingest.panoramas import is_panorama
from sfm.types import Exif

MIN_SIZE = 32
"""Photos with a shorter side below this hold nothing to match, px."""

_COPIED_AS_JPEG = frozenset({"HEIF", "WEBP", "AVIF"})
_TIFF_STARTS = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
_MARK = "converted by sfm from "


@dataclass(frozen=True, slots=True)
class Examined:
    """A sound photo."""

    sha256: str
    width: int
    """Of the pixels that the model refers to: as stored, or of the upright copy, px."""
    height: int
    orientation: int
    exif: Exif
    device: str
    copy_suffix: str
    """`.jpg` or `.png` when COLMAP needs a copy to read the same pixels; empty when read in place."""
    is_panorama: bool = False
    """Whether its pixels show the whole sphere."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file that cannot be used."""

    reason: str
    lasting: bool
    """True when the content is at fault, so that looking again is of no use until the file changes."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where derived pictures of photos are kept, by the photo's sha256."""

    folder: Path
    thumbnail_size: int

    def thumbnail(self, sha256: str) -> Path:
        """Upright JPEG of the photo, `thumbnail_size` px at most."""
        return self.folder / "thumbs" / f"{sha256}.jpg"

    def copy(self, sha256: str, suffix: str) -> Path:
        """Upright copy of a photo that COLMAP cannot read, linked to its place."""
        return self.folder / "converted" / f"{sha256}{suffix}"

    def holds(self, photo: Examined) -> bool:
        """True when all derived pictures of a photo are there."""
        paths = [self.thumbnail(photo.sha256)]
        if photo.copy_suffix:
            paths.append(self.copy(photo.sha256, photo.copy_suffix))
        return all(path.is_file() for path in paths)


@dataclass(frozen=True, slots=True)
class _Pictures:
    photo: Examined
    thumbnail: bytes
    copy: bytes


def examine(file: FoundFile, shelf: Shelf, budget: MemoryBudget) -> Examined | Unusable:
    """Decode a photo completely, and write its thumbnail and, where COLMAP needs it, an upright copy.

    Raises:
        OSError: the thumbnail or copy cannot be written.
    """
    try:
        pictures = _read(file, shelf.thumbnail_size, budget)
    except UnusablePhotoError as error:
        return Unusable(str(error), lasting=not isinstance(error, TooLargeForMemoryError))
    except OSError as error:
        return _unusable_by_os_error(file.path, error)
    except MemoryError:
        return Unusable("too large to decode in the memory that is free", lasting=False)
    except Exception as error:
        # Pillow's decoders meet damaged files with nearly every type of exception; none may end the run.
        return Unusable(f"damaged: {error or type(error).__name__}", lasting=True)
    photo = pictures.photo
    atomic_write_bytes(shelf.thumbnail(photo.sha256), pictures.thumbnail)
    if pictures.copy:
        atomic_write_bytes(shelf.copy(photo.sha256, photo.copy_suffix), pictures.copy)
    return photo


def origin_of_copy(path: Path) -> str | None:
    """The sha256 of the photo that a picture was converted from by `examine`; None if it was not."""
    try:
        with open_photo(path) as image:
            mark = image.info.get("comment", image.info.get("Comment"))
    except (OSError, UnusablePhotoError):
        return None
    text = mark.decode("utf-8", errors="replace") if isinstance(mark, bytes) else mark
    if not isinstance(text, str) or not text.startswith(_MARK):
        return None
    return text.removeprefix(_MARK).strip()


def _read(file: FoundFile, thumbnail_size: int, budget: MemoryBudget) -> _Pictures:
    if file.size == 0:
        raise UnusablePhotoError("the file is empty")
    with file.path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    with open_photo(file.path) as image:
        size = stored_size(image)
        if min(size) < MIN_SIZE:
            raise UnusablePhotoError(f"only {size[0]} x {size[1]} px")
        needed = max(decoding_bytes(image), size[0] * size[1] * COLMAP_BYTES_PER_PIXEL)
        refuse_if_too_large(image, needed)
        with budget.of(needed):
            pictures = _decoded(file.path, image, sha256, thumbnail_size)
    photo = pictures.photo
    around = is_panorama(file.path, (photo.width, photo.height))
    if found_file(file.name, file.path) != file:
        raise OSError(errno.EAGAIN, "it changed while it was read")
    return replace(pictures, photo=replace(photo, is_panorama=around))


def _decoded(path: Path, image: Image.Image, sha256: str, thumbnail_size: int) -> _Pictures:
    size, is_plain, is_deep = stored_size(image), not needs_comparing(image), has_deep_integers(image)
    # Last of the questions, since a PNG is decoded for the answer.
    metadata, orientation = read_metadata(image, size=size), stored_orientation(image)
    in_place = _examined(sha256, size, orientation, metadata, "")
    if is_plain:
        return _Pictures(in_place, _jpeg(reduced(image, thumbnail_size), 85), b"")
    suffix = ".jpg" if image.format in _COPIED_AS_JPEG else ".png"
    theirs = colmaps_samples(path, size, orientation)
    picture = upright(image)
    if theirs is not None:
        ours = our_samples(picture)
        if are_same(ours, theirs):
            return _Pictures(in_place, _thumbnail(picture, thumbnail_size), b"")
        if is_colmap_right(ours, theirs, is_deep=is_deep):
            picture = colmaps_picture(path, orientation)
    copy = _marked_copy(picture.convert("RGB"), suffix, sha256)
    photo = _examined(sha256, picture.size, 1, metadata, suffix)
    return _Pictures(photo, _thumbnail(picture, thumbnail_size), copy)


def _thumbnail(picture: Image.Image, size: int) -> bytes:
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return _jpeg(picture.convert("RGB"), 85)


def _examined(
    sha256: str, size: tuple[int, int], orientation: int, metadata: Metadata, suffix: str
) -> Examined:
    return Examined(sha256, *size, orientation, metadata.exif, metadata.device, suffix)


def _marked_copy(picture: Image.Image, suffix: str, sha256: str) -> bytes:
    if suffix == ".jpg":
        return _jpeg(picture, 95, comment=_MARK + sha256, subsampling=0)
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", _MARK + sha256)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1, pnginfo=info)
    return buffer.getvalue()


def _jpeg(image: Image.Image, quality: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def _unusable_by_os_error(path: Path, error: OSError) -> Unusable:
    if isinstance(error, UnidentifiedImageError):
        return Unusable(_what_it_is(path), lasting=True)
    if error.errno is not None:
        return Unusable(f"cannot be read: {error.strerror}", lasting=False)
    return Unusable(f"truncated or damaged: {error}", lasting=True)


def _what_it_is(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError:
        start = b""
    if start[:4] in _TIFF_STARTS:
        return "a damaged TIFF, or one of a kind that cannot be read: save it with 8 or 16 bits"
    is_text = start and all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in start)
    return f"{'a text file' if is_text else 'not a photo in a known format'}, whatever its name"
