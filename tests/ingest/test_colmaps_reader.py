"""A photo is read in place only where COLMAP's reader gives the same pixels; else COLMAP gets a copy."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.ingest import load_rgb
from sfm.ingest.decode import TRANSPOSE

SIZE = (96, 64)


@pytest.fixture
def truth() -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC))


def in_model(output, photos):
    """The photo that isn't `other.jpg`, and what COLMAP reads of it, upright."""
    (photo,) = [p for p in output.ingest(photos).photos if p.name != "other.jpg"]
    stored = Image.fromarray(pycolmap.Bitmap.read(output.images / photo.name, True).to_array())
    method = TRANSPOSE.get(photo.orientation)
    return photo, np.asarray(stored if method is None else stored.transpose(method)).astype(int)


@pytest.mark.parametrize(("orientation", "copied"), [(1, ()), (6, ("YCbCr",))], ids=["stored", "turned"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "packbits"])
def test_every_compression_shows_colmap_the_same_picture(
    output, photos, make_photo, truth, compression, mode, orientation, copied
) -> None:
    make_photo("other.jpg")
    picture = Image.fromarray(truth)
    stored = (
        Image.fromarray(truth[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    )
    stored.save(photos / "a.tif", compression=compression, tiffinfo={0x0112: orientation})

    photo, theirs = in_model(output, photos)

    assert photo.name == ("a.tif.png" if compression == "zstd" or mode in copied else "a.tif")
    shown = picture.convert(mode).convert("RGB") if mode != "I;16" else Image.fromarray(truth[..., 0])
    upright = shown if orientation == 1 else shown.transpose(TRANSPOSE[orientation])
    assert abs(theirs - np.asarray(upright.convert("RGB"))).mean() < 2
    assert abs(theirs - load_rgb(photo.path)).mean() < 1


def test_keypoints_are_found_in_a_zstd_tiff(output, photos, make_photo, tmp_path) -> None:
    make_photo("other.jpg", size=(320, 240))
    make_photo("a.tif", size=(320, 240), compression="zstd")
    collection = output.ingest(photos)

    pycolmap.extract_features(
        tmp_path / "database.db",
        output.images,
        image_names=list(collection.names),
        extraction_options=pycolmap.FeatureExtractionOptions(num_threads=1),
    )

    with pycolmap.Database.open(tmp_path / "database.db") as database:
        counts = [len(database.read_keypoints(image.image_id)) for image in database.read_all_images()]
    assert min(counts) > 20


def test_twelve_bits_are_no_sixteen(output, photos, make_photo, truth) -> None:
    make_photo("other.jpg")
    gray = truth[..., 0].astype(np.uint16) * 16
    packed = np.stack((gray[:, ::2] >> 4, (gray[:, ::2] & 15) << 4 | gray[:, 1::2] >> 8, gray[:, 1::2] & 255))
    write_tiff(photos / "a.tif", [np.moveaxis(packed, 0, -1).astype(np.uint8).tobytes()], bits=(12,))

    photo, theirs = in_model(output, photos)

    assert abs(theirs[..., 0] - truth[..., 0]).mean() < 2
    assert abs(load_rgb(photo.path)[..., 0].astype(int) - truth[..., 0]).mean() < 2


def test_planes_of_sixteen_bits_are_no_rows(output, photos, make_photo, truth) -> None:
    make_photo("other.jpg")
    deep = truth.astype("<u2") * 257
    write_tiff(photos / "a.tif", [deep[..., i].tobytes() for i in range(3)], bits=(16, 16, 16))

    photo, theirs = in_model(output, photos)

    assert abs(theirs - truth).mean() < 1
    assert abs(load_rgb(photo.path).astype(int) - truth).mean() < 1


def test_whole_numbers_of_32_bits_are_scaled_by_what_they_hold(output, photos, make_photo, truth) -> None:
    make_photo("other.jpg")
    Image.fromarray(truth[..., 0].astype(np.int32)).save(photos / "a.tif")

    photo, theirs = in_model(output, photos)

    assert photo.name == "a.tif.png"
    assert abs(theirs[..., 0] - truth[..., 0]).mean() < 1


def write_tiff(path: Path, planes: list[bytes], *, bits: tuple[int, ...]) -> None:
    """A TIFF of one strip a plane, uncompressed, of kinds that Pillow doesn't write."""
    count, photometric = len(bits), 2 if len(bits) == 3 else 1
    after = 8 + 2 + 12 * 10 + 4
    places = [after + 6 * count + 8 * count + sum(map(len, planes[:i])) for i in range(len(planes))]
    extra = struct.pack(f"<{count}H", *bits).ljust(6 * count, b"\0")
    extra += struct.pack(f"<{count}I", *places).ljust(4 * count, b"\0")
    extra += struct.pack(f"<{count}I", *map(len, planes)).ljust(4 * count, b"\0")

    def entry(tag: int, kind: int, values: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, kind, values, value)

    inline = count == 1
    entries = [
        entry(256, 4, 1, SIZE[0]),
        entry(257, 4, 1, SIZE[1]),
        entry(258, 3, count, bits[0] if inline else after),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, photometric),
        entry(273, 4, count, places[0] if inline else after + 6 * count),
        entry(277, 3, 1, count),
        entry(278, 4, 1, SIZE[1]),
        entry(279, 4, count, len(planes[0]) if inline else after + 10 * count),
        entry(284, 3, 1, 2 if count > 1 else 1),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + directory + extra + b"".join(planes))


def test_a_tiff_that_nobody_can_read_is_told_from_what_is_no_photo(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    write_tiff(photos / "a.tif", [bytes(SIZE[0] * SIZE[1] * 10 // 8)], bits=(10,))

    collection = output.ingest(photos)

    assert collection.skipped[0].name == "a.tif"
    assert "TIFF" in collection.skipped[0].reason
