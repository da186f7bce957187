"""GPS in exported photos is told, or taken out; pixels and all other metadata stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from sfm.exports import export
from sfm.exports.gps import has_gps, strip_gps, without_gps

GPS = 0x8825
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description drone-dji:GpsLatitude="47.123456" drone-dji:FlightYawDegree="12.5">'
    "<exif:GPSLongitude>8,32.5E</exif:GPSLongitude></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def with_gps(path: Path, pixels: np.ndarray | None = None, **save: object) -> Path:
    pattern = np.arange(48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    picture = Image.fromarray(pattern if pixels is None else pixels)
    place = {1: "N", 2: (47.0, 7.0, 24.4416), 3: "E", 4: (8.0, 32.0, 30.0)}
    if path.suffix == ".tif":
        table = TiffImagePlugin.ImageFileDirectory_v2()
        table[0x010F], table[0x0132], table[GPS] = "Maker", "2024:05:06 07:08:09", place
        picture.save(path, tiffinfo=table)
        return path
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0132] = "Maker", 6, "2024:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x920A] = TiffImagePlugin.IFDRational(35, 1)
    exif.get_ifd(GPS).update(place)
    picture.save(path, exif=exif, **save)
    return path


def metadata(path: Path) -> tuple[dict, dict, bytes]:
    with Image.open(path) as photo:
        exif = photo.getexif()
        tags = {tag: value for tag, value in exif.items() if tag not in (GPS, 0x8769)}
        return tags, dict(exif.get_ifd(0x8769)), photo.tobytes()


def text_chunk(keyword: str, text: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(keyword, text)
    return info


KINDS = {
    "plain.jpg": {},
    "xmp.jpg": {"xmp": XMP.encode()},
    "two.mpo": {"format": "MPO", "save_all": True, "append_images": []},
    "plain.png": {},
    "xmp.png": {"pnginfo": text_chunk("XML:com.adobe.xmp", XMP)},
    "plain.tif": {},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_position_goes_and_all_else_stays(tmp_path, name):
    path = with_gps(tmp_path / name, **KINDS[name])
    before, size = metadata(path), path.stat().st_size
    assert has_gps(path)

    strip_gps(path)

    assert not has_gps(path)
    with Image.open(path) as photo:
        assert not photo.getexif().get_ifd(GPS)
        assert GPS not in photo.getexif()
    assert metadata(path) == before
    assert name.endswith("png") or path.stat().st_size == size
    assert b"47.1234" not in path.read_bytes()
    assert b"8,32.5E" not in path.read_bytes()


def test_other_properties_of_xmp_stay(tmp_path):
    path = with_gps(tmp_path / "a.jpg", xmp=XMP.encode())

    strip_gps(path)

    assert b'drone-dji:FlightYawDegree="12.5"' in path.read_bytes()


def test_a_photo_without_gps_keeps_every_byte(tmp_path):
    for name in ("a.jpg", "a.png", "a.tif"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()

        assert without_gps(data) == data


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_damaged_metadata_is_no_traceback(tmp_path_factory, seed, count):
    path = with_gps(tmp_path_factory.mktemp("fuzz") / "a.tif")
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(0, len(data), count):
        data[place] = rng.integers(256)

    assert len(without_gps(bytes(data))) == len(data)


@pytest.mark.parametrize("camera_model", ["SIMPLE_RADIAL", "PINHOLE"])
@pytest.mark.parametrize("to", ["3dgs", "nerfstudio"])
def test_an_export_tells_of_gps_or_leaves_it_out(tmp_path, make_scene, caplog, to, camera_model):
    params = (400.0, 160.0, 120.0, 0.05) if camera_model == "SIMPLE_RADIAL" else (400.0, 400.0, 160.0, 120.0)
    make_scene(tmp_path, camera_model=camera_model, params=params, rename={1: "a.jpg", 2: "b.jpg"})
    for name in ("a.jpg", "b.jpg"):
        with Image.open(tmp_path / "images" / name) as photo:
            pixels = np.array(photo.convert("RGB"))
        with_gps(tmp_path / "images" / name, pixels)
    original = (tmp_path / "images" / "a.jpg").read_bytes()

    export(tmp_path, to=to)
    assert "2 exported photos hold the GPS position of the camera; --strip-gps" in caplog.text
    caplog.clear()
    folder = export(tmp_path, to=to, strip_gps=True)

    assert caplog.text == ""
    assert not any(has_gps(path) for path in (folder / "images").iterdir())
    assert (tmp_path / "images" / "a.jpg").read_bytes() == original


def test_notes_of_the_maker_that_stay_are_told(tmp_path, make_scene, caplog):
    make_scene(tmp_path, rename={1: "a.jpg", 2: "b.jpg"})
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = b"where it was taken"
    with Image.open(tmp_path / "images" / "a.jpg") as photo:
        photo.convert("RGB").save(tmp_path / "images" / "a.jpg", exif=exif)

    export(tmp_path, to="nerfstudio", strip_gps=True)

    assert "1 exported photos keep their makers' own notes" in caplog.text
