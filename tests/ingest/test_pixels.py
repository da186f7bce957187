"""Pixels are those that COLMAP reads, stored or converted."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image, ImageOps

from sfm.ingest import load_gray, load_rgb, thumbnail_path
from sfm.ingest.decode import TRANSPOSE

ROOT = Path(__file__).resolve().parents[2]
ORIENTATIONS = range(1, 9)


def only(collection, prefix: str):
    (photo,) = [p for p in collection.photos if p.name.startswith(prefix)]
    return photo


def colmap_rgb(path: Path) -> np.ndarray:
    return pycolmap.Bitmap.read(path, True).to_array()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_photos_in_place_keep_stored_pixels_and_orientation(
    output, photos, make_photo, suffix, orientation
) -> None:
    make_photo("other.jpg")
    path = make_photo(f"a.{suffix}", size=(120, 80), exif={0x0112: orientation})

    photo = only(output.ingest(photos), "a.")

    assert photo.path == path
    assert (output.images / photo.name).resolve() == path.resolve()
    assert (photo.width, photo.height, photo.orientation) == (120, 80, orientation)
    assert colmap_rgb(output.images / photo.name).shape == (80, 120, 3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp", "avif"])
def test_upright_pixels_are_upright(output, photos, make_photo, suffix, orientation) -> None:
    make_photo("other.jpg")
    size = (240, 160)
    path = make_photo(f"a.{suffix}", size=size, exif={0x0112: orientation}, quality=95)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)

    photo = only(output.ingest(photos), "a.")

    assert abs(load_rgb(photo.path) - upright).mean() < 3
    assert load_gray(photo.path).shape == upright.shape[:2]
    assert load_rgb(photo.path, max_size=60).shape[:2] == ((40, 60) if orientation < 5 else (60, 40))
    thumbnail = np.asarray(Image.open(thumbnail_path(output.cache, photo)).resize(upright.shape[1::-1]))
    assert abs(thumbnail - upright).mean() < 6


@pytest.mark.parametrize("suffix", ["webp", "avif", "heic"])
def test_formats_colmap_cannot_read_are_converted_upright(output, photos, make_photo, suffix) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    make_photo("other.jpg")
    source = make_photo(f"sub/a.{suffix}", size=(240, 160), exif={0x0112: 6, 0x010F: "Maker"}, quality=95)
    with Image.open(source) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)

    photo = only(output.ingest(photos), "sub/")

    assert photo.name == f"sub/a.{suffix}.jpg"
    assert photo.path == output.images / photo.name
    assert photo.source == source
    assert (photo.height, photo.width) == upright.shape[:2]
    assert photo.orientation == 1
    assert photo.exif.make == "Maker"
    assert abs(colmap_rgb(photo.path) - upright).mean() < 2


def test_a_converted_copy_never_takes_another_photos_name(output, photos, make_photo) -> None:
    make_photo("a.webp")
    make_photo("a.webp.jpg")

    collection = output.ingest(photos)

    assert {p.name: p.source.name for p in collection.photos} == {
        "a.webp.jpg": "a.webp.jpg",
        "a.webp~2.jpg": "a.webp",
    }


def test_the_content_decides_not_the_suffix(output, photos, make_photo) -> None:
    make_photo("png.jpg", format="PNG")
    make_photo("jpeg.png", format="JPEG")
    make_photo("webp.jpg", format="WEBP")

    collection = output.ingest(photos)

    assert collection.names == ("jpeg.png", "png.jpg", "webp.jpg.jpg")
    for photo in collection.photos:
        assert abs(colmap_rgb(output.images / photo.name) - load_rgb(photo.path).astype(int)).mean() == 0


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_gray_is_scaled_not_saturated(output, photos, make_photo, suffix) -> None:
    make_photo("other.jpg")
    ramp = np.linspace(0, 65535, 100 * 80).reshape(80, 100).astype(np.uint16)
    Image.fromarray(ramp).save(photos / f"deep.{suffix}")

    photo = only(output.ingest(photos), "deep")

    assert photo.name == f"deep.{suffix}", "COLMAP reads it, so no copy is wanted"
    assert abs(load_gray(photo.path).astype(int) - np.round(ramp / 257)).max() <= 1
    assert abs(colmap_rgb(photo.path)[..., 0].astype(int) - np.round(ramp / 257)).max() <= 1


@pytest.mark.parametrize(("white", "name"), [(1, "float.tif"), (255, "float.tif.png")])
def test_float_images_keep_their_range(output, photos, make_photo, white, name) -> None:
    make_photo("other.jpg")
    ramp = np.linspace(0, white, 100 * 80, dtype=np.float32).reshape(80, 100)
    ramp[0, 0] = np.nan
    Image.fromarray(ramp).save(photos / "float.tif")

    photo = only(output.ingest(photos), "float")

    assert photo.name == name, "COLMAP cuts real numbers at 1"
    read = colmap_rgb(output.images / photo.name)
    assert read[-1, -1].tolist() == [255, 255, 255]
    assert 120 < read.mean() < 135


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.jpg", "CMYK"),
        ("a.tif", "CMYK"),
        ("a.jpg", "L"),
        ("a.png", "P"),
        ("a.png", "RGBA"),
        ("a.png", "LA"),
        ("a.png", "1"),
        ("a.bmp", "RGB"),
    ],
)
def test_our_pixels_are_colmaps_pixels(output, photos, make_photo, name, mode) -> None:
    make_photo("other.jpg")
    make_photo(name, mode=mode)

    photo = only(output.ingest(photos), "a.")

    assert photo.name == name
    assert abs(colmap_rgb(output.images / name) - load_rgb(photo.path).astype(int)).mean() < 1


def test_pngs_are_written_whole_although_pycolmap_brings_its_own_zlib() -> None:
    # In a process of its own, since what happens depends on which library is loaded first.
    code = (
        "import sfm.pipelines.run, io; from PIL import Image;"
        "Image.effect_noise((300, 200), 50).save(buffer := io.BytesIO(), 'PNG');"
        "Image.open(buffer).load()"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


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
