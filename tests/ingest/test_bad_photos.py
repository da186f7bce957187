"""Files that are no sound photos are named and skipped; the others go on."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from sfm.errors import InputError


def reason(collection, name: str) -> str:
    return {skipped.name: skipped.reason for skipped in collection.skipped}[name]


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {}),
        ("a.jpg", {"progressive": True}),
        ("a.png", {}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.webp", {}),
        ("a.avif", {}),
    ],
)
def test_truncated_photos_are_skipped(output, photos, make_photo, two_good, name, options, share) -> None:
    whole = make_photo(name, size=(400, 300), **options)
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * share)])

    collection = output.ingest(photos)

    assert collection.names == ("good1.jpg", "good2.png")
    assert reason(collection, name)


def test_each_useless_file_has_its_reason(output, photos, make_photo, two_good) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("these are my holiday notes\n")
    (photos / "noise.jpg").write_bytes(os.urandom(4096))
    make_photo("pixel.png", size=(1, 1))
    make_photo("narrow.png", size=(400, 31))
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    os.mkfifo(photos / "pipe.jpg")

    collection = output.ingest(photos)

    assert collection.names == ("good1.jpg", "good2.png")
    assert reason(collection, "empty.jpg") == "the file is empty"
    assert "text file" in reason(collection, "text.jpg")
    assert "not a photo" in reason(collection, "noise.jpg")
    assert reason(collection, "pixel.png") == "only 1 x 1 px"
    assert reason(collection, "narrow.png") == "only 400 x 31 px"
    assert "not there" in reason(collection, "gone.jpg")
    assert reason(collection, "pipe.jpg") == "not a regular file"
    skipped = {fields["name"] for event, fields in output.events if event == "skipped"}
    assert skipped == {s.name for s in collection.skipped}


def test_a_decompression_bomb_is_refused_by_its_header(output, photos, make_photo, two_good) -> None:
    (photos / "bomb.png").write_bytes(png_header(60_000, 60_000))

    assert "more than 500 megapixels" in reason(output.ingest(photos), "bomb.png")


def test_postscript_under_a_photos_name_is_not_executed(output, photos, two_good) -> None:
    (photos / "script.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"
    )

    assert "script.jpg" not in output.ingest(photos).names


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_skipped_and_looked_at_again(output, photos, make_photo, two_good) -> None:
    secret = make_photo("secret.jpg")
    secret.chmod(0)

    first = output.ingest(photos)
    secret.chmod(0o600)
    second = output.ingest(photos)

    assert "Permission denied" in reason(first, "secret.jpg")
    assert "secret.jpg" in second.names


def test_damaged_metadata_does_not_cost_the_photo(output, photos, make_photo, two_good) -> None:
    path = make_photo("meta.jpg", exif={0x010F: "Maker", 0x0112: 6})
    data = bytearray(path.read_bytes())
    start = data.index(b"Exif\0\0") + 14
    data[start : start + 12] = b"\xff" * 12
    path.write_bytes(data)

    assert "meta.jpg" in output.ingest(photos).names


def test_equal_photos_are_used_once(output, photos, make_photo) -> None:
    for name in ("b.jpg", "sub/a.jpg", "z.jpg"):
        make_photo(name, seed=7)
    make_photo("other.jpg")

    collection = output.ingest(photos)

    assert collection.names == ("b.jpg", "other.jpg")
    assert collection.duplicates == (("b.jpg", "sub/a.jpg", "z.jpg"),)
    assert reason(collection, "z.jpg") == "same content as b.jpg"
    assert ("duplicate", {"names": ["b.jpg", "sub/a.jpg", "z.jpg"]}) in output.events


def test_two_identical_photos_are_too_few(output, photos, make_photo) -> None:
    make_photo("a.jpg", seed=7)
    make_photo("b.jpg", seed=7)

    with pytest.raises(InputError, match=r"only one usable photo .*b\.jpg: same content as a\.jpg"):
        output.ingest(photos)


def test_too_few_photos_are_listed_with_reasons(output, photos, make_photo) -> None:
    make_photo("good.jpg")
    for number in range(30):
        (photos / f"bad{number:02}.jpg").touch()

    with pytest.raises(InputError, match=r"bad00\.jpg: the file is empty.*and 20 more"):
        output.ingest(photos)


def test_folders_without_photos_are_refused(output, photos, tmp_path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        output.ingest(tmp_path / "missing")
    (tmp_path / "file.jpg").touch()
    with pytest.raises(InputError, match="is a file"):
        output.ingest(tmp_path / "file.jpg")
    with pytest.raises(InputError, match="no photos under"):
        output.ingest(photos)


@pytest.mark.parametrize(
    ("name", "hint"), [("clip.MP4", "ffmpeg"), ("photos.zip", "unpack it"), ("a.jpg", "folder that holds")]
)
def test_a_file_in_place_of_the_folder_gets_advice(output, tmp_path, name, hint) -> None:
    (tmp_path / name).touch()

    with pytest.raises(InputError) as caught:
        output.ingest(tmp_path / name)

    assert hint in caught.value.hint


@pytest.mark.parametrize(("name", "hint"), [("clip.MP4", "ffmpeg"), ("shot.CR2", "raw")])
def test_videos_and_raw_files_get_advice(output, photos, name, hint) -> None:
    (photos / name).touch()

    with pytest.raises(InputError) as caught:
        output.ingest(photos)

    assert hint in caught.value.hint


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = zlib.compress(np.zeros(1000, np.uint8).tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def test_an_unusual_folder_name_is_no_photo(output, photos, make_photo) -> None:
    make_photo("trip.jpg/a.jpg")
    make_photo("trip.jpg/b.jpg")

    assert output.ingest(photos).names == ("trip.jpg/a.jpg", "trip.jpg/b.jpg")
    assert Path(output.images / "trip.jpg/a.jpg").is_file()
