"""What the model's pixels are: stored for photos read in place, upright for converted ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image, ImageOps

from sfm.ingest import load_gray, load_rgb, thumbnail_path

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
