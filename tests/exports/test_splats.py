"""Exports for Gaussian splatting, and positions in metadata."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from sfm.exports.exporting import export
from sfm.exports.gps import has_gps, strip_gps, without_gps
from tests.exports.classic_reader import NO_POINT, read_classic

CAMERAS = {
    "SIMPLE_PINHOLE": (400.0, 153.4, 127.2),
    "PINHOLE": (400.0, 410.0, 160.0, 120.0),
    "SIMPLE_RADIAL": (400.0, 160.0, 120.0, 0.05),
    "OPENCV": (400.0, 405.0, 153.4, 127.2, 0.05, -0.02, 0.001, -0.002),
    "FULL_OPENCV": (400.0, 405.0, 160.0, 120.0, 0.05, -0.02, 0.001, -0.002, 0.01, 0.0, 0.0, 0.0),
    "OPENCV_FISHEYE": (300.0, 300.0, 165.0, 118.0, 0.02, -0.01, 0.0, 0.0),
    "SIMPLE_RADIAL_FISHEYE": (300.0, 160.0, 120.0, 0.02),
    "FISHEYE": (300.0, 300.0, 165.0, 118.0),
    "THIN_PRISM_FISHEYE": (300.0, 300.0, 160.0, 120.0, 0.02, -0.01, 0.001, 0.0, 0.0, 0.0, 0.0, 0.001),
    "DIVISION": (400.0, 405.0, 153.4, 127.2, -0.1),
    "EUCM": (400.0, 405.0, 153.4, 127.2, 0.5, 1.0),
}


@pytest.mark.parametrize("camera_model", CAMERAS)
def test_a_strict_reader_accepts_the_export(tmp_path, make_scene, camera_model):
    make_scene(tmp_path / "out", camera_model=camera_model, params=CAMERAS[camera_model])

    folder = export(tmp_path / "out", to="3dgs", destination=tmp_path / "splat")

    assert sorted(p.name for p in (folder / "sparse" / "0").iterdir()) == [
        "cameras.bin",
        "images.bin",
        "points3D.bin",
    ]
    model = read_classic(folder / "sparse" / "0")
    assert {i.name for i in model.images.values()} == {p.name for p in (folder / "images").iterdir()}
    for image in model.images.values():
        name, width, height, params = model.cameras[image.camera_id]
        assert name == "PINHOLE"
        with Image.open(folder / "images" / image.name) as photo:
            assert photo.size == (width, height)
        # The trainers take the principal point to be the centre.
        assert abs(params[2] - width / 2) <= 0.5
        assert abs(params[3] - height / 2) <= 0.5


def test_keypoints_beyond_the_fold_of_a_lens_do_not_end_an_export(tmp_path, make_scene):
    """As of a photo whose points all lie in its middle, so that nothing says what the lens does outside."""
    model = make_scene(tmp_path)
    for camera in model.cameras.values():
        camera.params = [*camera.params[:3], -4.0]
    model.write(tmp_path / "sparse" / "0")

    exported = read_classic(export(tmp_path, to="3dgs") / "sparse" / "0")

    before = model.compute_num_observations()
    kept = sum(np.count_nonzero(image.point3D_ids != NO_POINT) for image in exported.images.values())
    assert 0 < kept < before
    assert all(np.isfinite(image.xy.astype(float)).all() for image in exported.images.values())


def test_observations_and_tracks_refer_to_each_other(tmp_path, make_scene):
    make_scene(tmp_path, camera_model="OPENCV", params=CAMERAS["OPENCV"])

    model = read_classic(export(tmp_path, to="3dgs") / "sparse" / "0")

    for image_id, image in model.images.items():
        for index, point_id in enumerate(image.point3D_ids):
            if point_id != NO_POINT:
                assert (image_id, index) in {tuple(element) for element in model.tracks[point_id]}
    assert all(
        model.images[i].point3D_ids[j] == point_id for point_id, t in model.tracks.items() for i, j in t
    )


def test_points_project_onto_their_observations_when_the_principal_point_was_off_centre(tmp_path, make_scene):
    make_scene(tmp_path, camera_model="OPENCV", params=CAMERAS["OPENCV"])

    folder = export(tmp_path, to="3dgs")

    model = pycolmap.Reconstruction(folder / "sparse" / "0")
    model.update_point_3d_errors()
    assert model.num_reg_images() == 4
    assert model.compute_mean_reprojection_error() < 1e-6
    # And so does the picture: each synthetic keypoint is drawn as the centre of a patch of one pattern.
    original = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert _patch_difference(tmp_path, original, folder, model) < 12


def _patch_difference(out, original, folder, exported) -> float:
    """Median grey-level difference round observations, original against exported image."""
    differences = []
    for image_id in original.reg_image_ids():
        before, after = original.image(image_id), exported.image(image_id)
        a, b = _grey(out / "images" / before.name), _grey(folder / "images" / after.name)
        for old, new in zip(before.points2D, after.points2D, strict=True):
            patches = [_patch(pixels, point.xy) for pixels, point in ((a, old), (b, new))]
            if all(patch.shape == (5, 5) for patch in patches):
                differences.append(abs(patches[0].mean() - patches[1].mean()))
    assert len(differences) > 40
    return float(np.median(differences))


def _grey(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=float)


def _patch(pixels, xy):
    x, y = np.floor(xy).astype(int)
    return pixels[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]


def test_names_in_folders_with_dots_and_accents_become_plain_and_unique(tmp_path, make_scene):
    rename = {1: "left/é 1.a.png", 2: "right/é 1.a.png", 3: "left__e_1_a.png", 4: "left/ü\n.png"}
    make_scene(tmp_path, rename=rename)

    folder = export(tmp_path, to="3dgs")

    model = read_classic(folder / "sparse" / "0")
    names = {image.name for image in model.images.values()}
    assert names == {p.name for p in (folder / "images").iterdir()}
    assert len({name.split(".")[0] for name in names}) == 4
    original = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    for image_id, image in model.images.items():
        pose = original.image(image_id).cam_from_world()
        np.testing.assert_allclose(image.t_cw, pose.translation, atol=1e-12)


def test_unregistered_photos_are_left_out(tmp_path, make_scene):
    model = make_scene(tmp_path)
    model.deregister_frame(model.image(2).frame_id)
    model.write(tmp_path / "sparse" / "0")

    folder = export(tmp_path, to="3dgs")

    assert len(read_classic(folder / "sparse" / "0").images) == 3
    assert len(list((folder / "images").iterdir())) == 3


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
