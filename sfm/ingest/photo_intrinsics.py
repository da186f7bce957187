"""Known intrinsics of single photos, from a file with a line a photo, as the Map-free benchmark has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sfm.errors import InputError
from sfm.ingest.intrinsics import KnownCamera, camera_of_words, checked_params
from sfm.types import Photo
from sfm.untrusted.documents import read_text
from sfm.untrusted.numbers import shown, whole

_LINE = "PHOTO fx fy cx cy WIDTH HEIGHT"
_OR_LINE = f"{_LINE}, or PHOTO MODEL WIDTH HEIGHT PARAMS..."


@dataclass(frozen=True, slots=True)
class PhotoIntrinsics:
    """Cameras of photos, by the last parts of the photos' paths."""

    path: Path
    cameras: Mapping[str, KnownCamera]

    def of(self, photo: Path) -> KnownCamera:
        """The camera of a photo: of the lines that end its path, the longest.

        Raises:
            InputError: no line is of the photo.
        """
        found = self.find(photo)
        if found is None:
            raise InputError(
                f"{self.path} has no line of {photo}",
                hint=f"a line a photo: {_OR_LINE}; or leave the intrinsics out, and they are estimated",
            )
        return found

    def find(self, photo: Path) -> KnownCamera | None:
        """The same; None where no line is of the photo."""
        parts = photo.parts
        ends = (PurePosixPath(*parts[-count:]).as_posix() for count in range(len(parts), 0, -1))
        return next((self.cameras[end] for end in ends if end in self.cameras), None)

    def check(self, photos: Iterable[Photo]) -> None:
        """Refuse cameras that are not of the size of their photos.

        Raises:
            InputError: one is not, or no line is of a photo.
        """
        for photo in photos:
            given = self.of(photo.source)
            if given.size != (photo.width, photo.height):
                raise InputError(
                    f"{self.path}: {photo.source} has {photo.width} x {photo.height} px, not "
                    f"{given.size[0]} x {given.size[1]}",
                    hint="give the size of the stored pixels, and the intrinsics for that size",
                )


def read_photo_intrinsics(path: Path) -> PhotoIntrinsics:
    """The cameras of a file with lines `PHOTO fx fy cx cy WIDTH HEIGHT` in px; `#` begins a comment.

    PHOTO is a path, or the last parts of one, without blanks. Such cameras have no distortion (PINHOLE); a
    line may also have one of COLMAP's: `PHOTO MODEL WIDTH HEIGHT PARAMS...`.

    Raises:
        InputError: the file cannot be read, a line is none of these or impossible, or a photo occurs twice;
            with the file and the line.
    """
    cameras: dict[str, KnownCamera] = {}
    text = read_text(path, what="a text file with a line a photo")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where, words = f"{path}:{number}", line.split()
        photo = PurePosixPath(words[0]).as_posix()
        if photo in cameras:
            raise InputError(f"{where}: a second line of {shown(photo)}")
        if len(words) > 1 and words[1].isidentifier() and words[1].isupper():
            cameras[photo] = camera_of_words(where, words, "PHOTO")
            if cameras[photo].model == "EQUIRECTANGULAR":
                raise InputError(f"{where}: {shown(photo)} must be flat, not EQUIRECTANGULAR")
            continue
        if len(words) != len(_LINE.split()):
            raise InputError(f"{where}: {len(words)} values", hint=f"a line a photo: {_OR_LINE}")
        width, height = (_side(where, word) for word in words[5:])
        params = checked_params(where, "PINHOLE", (width, height), words[1:5])
        cameras[photo] = KnownCamera("PINHOLE", (width, height), params)
    if not cameras:
        raise InputError(f"{path} holds no photo", hint=f"a line a photo: {_OR_LINE}")
    return PhotoIntrinsics(path, cameras)


def _side(where: str, word: str) -> int:
    """Whole pixels; the benchmark's own files write them as 540.0, too."""
    found = whole(word.removesuffix(".0"), low=1)
    if found is None:
        raise InputError(f"{where}: {shown(word)} is not a positive whole number of pixels")
    return found
