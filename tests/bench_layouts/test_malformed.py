"""A dataset that is not whole is refused with one message that names the file, and what is wrong with it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import load_scene

from sfm.errors import InputError
from tests.bench_layouts import fabricate
from tests.bench_layouts.fabricate import Made

UNDISTORTED = "dslr_calibration_undistorted"
HORSE_LOG = "Horse_COLMAP_SfM.log"


def change(file: Path, old: str, new: str) -> None:
    """Replace the first occurrence, which must be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def change_line(file: Path, index: int, new: str | None) -> None:
    """Replace one line, or drop it."""
    lines = file.read_text().splitlines()
    del lines[index]
    if new is not None:
        lines.insert(index, new)
    file.write_text("\n".join(lines) + "\n")


def cut_before(file: Path, word: str, characters: int) -> None:
    """End the file so many characters before a word."""
    text = file.read_text()
    file.write_text(text[: text.index(word) - characters])


def refused(name: str, made: Made, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scene(name, made.root)
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text
    assert str(made.root) in text


ETH3D: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file of poses": (
        lambda f: (f / UNDISTORTED / "images.txt").unlink(),
        r"undistorted/images\.txt is missing",
    ),
    "missing file of cameras": (
        lambda f: (f / UNDISTORTED / "cameras.txt").unlink(),
        r"undistorted/cameras\.txt is missing",
    ),
    "truncated between two images": (
        lambda f: (f / UNDISTORTED / "images.txt").write_text(
            "\n".join((f / UNDISTORTED / "images.txt").read_text().split("\n")[:-5]) + "\n"
        ),
        r"images\.txt announces 14 images and holds 12",
    ),
    "truncated within an image": (
        lambda f: cut_before(f / UNDISTORTED / "images.txt", "DSC_0640.JPG", 70),
        r"images\.txt:17: expected 'IMAGE_ID",
    ),
    "pose that is no number": (
        lambda f: change_line(
            f / UNDISTORTED / "images.txt", 4, "1 1 0 0 0 nan 2 3 0 dslr_images_undistorted/DSC_0634.JPG"
        ),
        r"images\.txt: image .*DSC_0634\.JPG' has no valid pose",
    ),
    "quaternion without length": (
        lambda f: change_line(
            f / UNDISTORTED / "images.txt", 4, "1 0 0 0 0 1 2 3 0 dslr_images_undistorted/DSC_0634.JPG"
        ),
        r"images\.txt: image .*DSC_0634\.JPG' has no valid pose",
    ),
    "camera that is not listed": (
        lambda f: change_line(f / UNDISTORTED / "cameras.txt", 4, None),
        r"the camera 1 of .*DSC_0635\.JPG' is not among its cameras",
    ),
    "camera with too few parameters": (
        lambda f: change(f / UNDISTORTED / "cameras.txt", "40.5 41 32 24", "40.5 41 32"),
        r"cameras\.txt:4: PINHOLE has the parameters fx, fy, cx, cy",
    ),
    "camera model that nobody knows": (
        lambda f: change(f / UNDISTORTED / "cameras.txt", "PINHOLE", "PINHOLES"),
        r"cameras\.txt:4: COLMAP has no camera model 'PINHOLES'",
    ),
    "photo missing from disk": (
        lambda f: (f / "images" / "dslr_images_undistorted" / "DSC_0640.JPG").unlink(),
        r"DSC_0640\.JPG is missing: .*images\.txt knows it",
    ),
    "photo without a pose": (
        lambda f: fabricate.write_photos(f / "images", ["dslr_images_undistorted/DSC_9999.JPG"]),
        r"DSC_9999\.JPG has no pose in .*images\.txt",
    ),
    "no photos at all": (
        lambda f: [path.unlink() for path in (f / "images" / "dslr_images_undistorted").iterdir()],
        r"dslr_images_undistorted holds no photos",
    ),
    "scan missing": (
        lambda f: (f / "dslr_scan_eval" / "scan1.ply").unlink(),
        r"scan1\.ply is missing: .*scan_alignment\.mlp places it",
    ),
    "alignment that is no XML": (
        lambda f: (f / "dslr_scan_eval" / "scan_alignment.mlp").write_text("<MeshLab"),
        r"scan_alignment\.mlp is not a MeshLab project",
    ),
    "alignment of too few numbers": (
        lambda f: change(f / "dslr_scan_eval" / "scan_alignment.mlp", "0 0 1 3 \n", ""),
        r"scan_alignment\.mlp: scan1\.ply: expected a 4x4 matrix",
    ),
}


@pytest.mark.parametrize("case", ETH3D)
def test_eth3d(case, tmp_path):
    made = fabricate.eth3d(tmp_path)
    damage, message = ETH3D[case]
    damage(made.folder)

    refused("eth3d:pipes", made, message)


TANKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing log": (lambda f: (f / HORSE_LOG).unlink(), r"Horse_COLMAP_SfM\.log is missing"),
    "log with NaN": (
        lambda f: change_line(f / HORSE_LOG, 7, "nan 0 0 1"),
        r"Horse_COLMAP_SfM\.log:8: a row of a 4x4 matrix must be finite",
    ),
    "truncated block": (
        lambda f: change_line(f / HORSE_LOG, -1, None),
        r"Horse_COLMAP_SfM\.log is truncated: its last pose has 4 of 5 lines",
    ),
    "a line lost in the middle": (
        lambda f: (change_line(f / HORSE_LOG, 7, None), change_line(f / HORSE_LOG, 0, "0 0 0\n1 0 0 0")),
        r"Horse_COLMAP_SfM\.log:\d+: (expected|the last row)",
    ),
    "matrix that is no rotation": (
        lambda f: change_line(f / HORSE_LOG, 6, "2 0 0 1"),
        r"Horse_COLMAP_SfM\.log:6: its matrix is not a rotation",
    ),
    "words": (
        lambda f: change_line(f / HORSE_LOG, 5, "one one 0"),
        r"Horse_COLMAP_SfM\.log:6: expected INDEX INDEX 0, found 'one one 0'",
    ),
    "index twice": (
        lambda f: change_line(f / HORSE_LOG, 5, "0 0 0"),
        r"Horse_COLMAP_SfM\.log:6: '0 0 0' is no index of a further photo",
    ),
    "empty log": (lambda f: (f / HORSE_LOG).write_text(""), r"Horse_COLMAP_SfM\.log is empty"),
    "binary log": (lambda f: (f / HORSE_LOG).write_bytes(b"\xff\xfe\x00"), r"is not a readable text file"),
    "photo that is not on disk": (
        lambda f: change_line(f / HORSE_LOG, 5, "700 700 0"),
        r"000701\.jpg is missing: .*Horse_COLMAP_SfM\.log knows it",
    ),
    "photo missing from disk": (
        lambda f: (f / "Horse" / "000100.jpg").unlink(),
        r"000100\.jpg is missing: .*Horse_COLMAP_SfM\.log knows it",
    ),
    "photo without a pose": (
        lambda f: fabricate.write_photos(f / "Horse", ["000152.jpg"]),
        r"Horse: 000152\.jpg has no pose in .*Horse_COLMAP_SfM\.log",
    ),
    "transform that is no similarity": (
        lambda f: change_line(f / "Horse_trans.txt", 0, "5 0 0 0"),
        r"Horse_trans\.txt: its matrix is not a similarity",
    ),
    "transform of three rows": (
        lambda f: change_line(f / "Horse_trans.txt", 0, None),
        r"Horse_trans\.txt: expected the 4 rows of a 4x4 matrix, found 3 lines",
    ),
}


@pytest.mark.parametrize("case", TANKS)
def test_tanks_and_temples(case, tmp_path):
    made = fabricate.tanks_and_temples(tmp_path)
    damage, message = TANKS[case]
    damage(made.folder.parent)

    refused("tanks_and_temples:Horse", made, message)


CAMERAS = "gt_dense_cameras"
STRECHA: dict[str, tuple[Callable[[Path], object], str]] = {
    "no cameras": (
        lambda f: [path.unlink() for path in (f / CAMERAS).iterdir()],
        r"gt_dense_cameras holds no \.camera files",
    ),
    "one camera missing": (
        lambda f: (f / CAMERAS / "0004.jpg.camera").unlink(),
        r"0004\.jpg has no pose in .*gt_dense_cameras",
    ),
    "one photo missing": (
        lambda f: (f / "images" / "0004.jpg").unlink(),
        r"0004\.jpg is missing: .*gt_dense_cameras knows it",
    ),
    "a camera and its photo missing": (
        lambda f: ((f / "images" / "0004.jpg").unlink(), (f / CAMERAS / "0004.jpg.camera").unlink()),
        r"images has 7 photos where scenes\.yaml lists 8",
    ),
    "truncated": (
        lambda f: change_line(f / CAMERAS / "0002.jpg.camera", -1, None),
        r"0002\.jpg\.camera has 8 rows, not the 9",
    ),
    "NaN": (
        lambda f: change_line(f / CAMERAS / "0002.jpg.camera", 7, "nan 0 0"),
        r"0002\.jpg\.camera:8: a centre must be finite",
    ),
    "no rotation": (
        lambda f: change_line(f / CAMERAS / "0002.jpg.camera", 5, "1 1 1"),
        r"0002\.jpg\.camera:5: its matrix is not a rotation",
    ),
    "distortion": (
        lambda f: change_line(f / CAMERAS / "0002.jpg.camera", 3, "0.1 0 0"),
        r"0002\.jpg\.camera:4: photos with distortion",
    ),
    "skew": (
        lambda f: change_line(f / CAMERAS / "0002.jpg.camera", 0, "57 1 31"),
        r"0002\.jpg\.camera:1: K is not of the form",
    ),
    "size of nothing": (
        lambda f: change_line(f / CAMERAS / "0002.jpg.camera", 8, "0 48"),
        r"0002\.jpg\.camera: a photo cannot have 0 x 48 pixels",
    ),
}


@pytest.mark.parametrize("case", STRECHA)
def test_strecha(case, tmp_path):
    made = fabricate.strecha(tmp_path)
    damage, message = STRECHA[case]
    damage(made.folder)

    refused("strecha:Herz-Jesus-P8", made, message)


MODEL = Path("sparse") / "0"


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


COLMAP: dict[str, tuple[Callable[[Path], object], str]] = {
    "no poses": (lambda f: (f / MODEL / "images.bin").unlink(), r"sparse/0 holds no COLMAP model"),
    "no cameras": (
        lambda f: (f / MODEL / "cameras.bin").unlink(),
        r"sparse/0 has neither cameras\.bin nor cameras\.txt",
    ),
    "truncated poses": (lambda f: cut(f / MODEL / "images.bin", 100), r"images\.bin is (truncated|damaged)"),
    "truncated cameras": (lambda f: cut(f / MODEL / "cameras.bin", 50), r"cameras\.bin is truncated"),
    "empty cameras": (lambda f: cut(f / MODEL / "cameras.bin", 0), r"cameras\.bin is truncated"),
    "photo missing": (
        lambda f: (f / "images" / "_DSC8603.JPG").unlink(),
        r"_DSC8603\.JPG is missing: .*sparse/0 knows it",
    ),
    "no photos": (lambda f: (f / "images").rename(f / "photos"), r"images is missing"),
}


@pytest.mark.parametrize("case", COLMAP)
def test_colmap_models(case, tmp_path):
    made = fabricate.colmap_binary(tmp_path)
    damage, message = COLMAP[case]
    damage(made.folder)

    refused("mipnerf360:mine", made, message)


INTERNET: dict[str, tuple[Callable[[Path], object], str]] = {
    "no list": (lambda f: (f / "list.txt").unlink(), r"list\.txt is missing"),
    "no bundle": (lambda f: (f / "gt_bundle.out").unlink(), r"gt_bundle\.out is missing"),
    "no Bundler file": (
        lambda f: change_line(f / "gt_bundle.out", 0, "8 1"),
        r"gt_bundle\.out is no Bundler file",
    ),
    "wrong count": (
        lambda f: change_line(f / "list.txt", 7, None),
        r"gt_bundle\.out has 8 cameras and list\.txt 7 photos",
    ),
    "truncated": (
        lambda f: (f / "gt_bundle.out").write_text(
            "\n".join((f / "gt_bundle.out").read_text().splitlines()[:30])
        ),
        r"gt_bundle\.out is truncated: it announces 8 cameras",
    ),
    "NaN": (
        lambda f: change_line(f / "gt_bundle.out", 6, "nan 1 2"),
        r"gt_bundle\.out:7: a translation must be finite",
    ),
    "no rotation": (
        lambda f: change_line(f / "gt_bundle.out", 4, "1 2 3"),
        r"gt_bundle\.out:3: its matrix is not a rotation",
    ),
    "index that is none": (
        lambda f: change_line(f / "cc.txt", 3, "99"),
        r"cc\.txt:4: list\.txt has no photo 99",
    ),
    "photo missing": (
        lambda f: (f / "images" / "004_flickr.jpg").unlink(),
        r"004_flickr\.jpg is missing: .*gt_bundle\.out knows it",
    ),
    "photo asked for missing": (
        lambda f: (f / "images" / "002_flickr.jpg").unlink(),
        r"002_flickr\.jpg is missing: .*list\.txt knows it",
    ),
    "unreadable photo": (
        lambda f: (f / "images" / "003_flickr.jpg").write_bytes(b"no photo"),
        r"003_flickr\.jpg is not a readable photo",
    ),
}


@pytest.mark.parametrize("case", INTERNET)
def test_internet_collections(case, tmp_path):
    made = fabricate.internet(tmp_path)
    damage, message = INTERNET[case]
    damage(made.folder)

    refused("1dsfm:Alamo", made, message)


def changed_frame(**entries) -> Callable[[Path], object]:
    """Damage to the fourth frame's viewpoint."""

    def damage(folder: Path) -> None:
        file = folder.parent / "frame_annotations.jgz"
        frames = json.loads(gzip.decompress(file.read_bytes()))
        frames[3]["viewpoint"].update(entries)
        file.write_bytes(gzip.compress(json.dumps(frames).encode()))

    return damage


CO3D: dict[str, tuple[Callable[[Path], object], str]] = {
    "no annotations": (
        lambda f: (f.parent / "frame_annotations.jgz").unlink(),
        r"frame_annotations\.jgz is missing",
    ),
    "truncated": (
        lambda f: cut(f.parent / "frame_annotations.jgz", 200),
        r"frame_annotations\.jgz is not a readable gzipped JSON file",
    ),
    "another document": (
        lambda f: (f.parent / "frame_annotations.jgz").write_bytes(gzip.compress(b"{}")),
        r"frame_annotations\.jgz: expected a list of frames",
    ),
    "no rotation": (changed_frame(R=[[1, 0, 0], [0, 1, 0], [0, 0, 2]]), r"frame 3 of .* is not a rotation"),
    "short rotation": (changed_frame(R=[[1, 0, 0]]), r"jgz: frame 3 of .* is malformed"),
    "NaN": (changed_frame(T=[0, float("nan"), 0]), r"jgz: frame 3 of .*: its T is not finite"),
    "no focal length": (changed_frame(focal_length=None), r"jgz: frame 3 of "),
    "photo missing": (
        lambda f: (f / "images" / "frame000004.jpg").unlink(),
        r"frame000004\.jpg is missing: .*frame_annotations\.jgz knows it",
    ),
}


@pytest.mark.parametrize("case", CO3D)
def test_co3d(case, tmp_path):
    made = fabricate.co3d(tmp_path)
    damage, message = CO3D[case]
    damage(made.folder)

    refused(f"co3d:{made.scene}", made, message)


def test_a_sequence_of_co3d_that_is_not_annotated_is_refused(tmp_path):
    made = fabricate.co3d(tmp_path)
    made.folder.rename(made.folder.with_name("other"))

    refused("co3d:apple/other", made, r"frame_annotations\.jgz has no frames of other")


CLIP = Path("test") / "000c3ab189999a83.txt"
REALESTATE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no camera file": (lambda r: (r / CLIP).unlink(), r"000c3ab189999a83\.txt is missing"),
    "short line": (
        lambda r: change(r / CLIP, " 0.0 0.0 ", " "),
        r"83\.txt:2: expected 19 numbers",
    ),
    "NaN": (
        lambda r: change(r / CLIP, "0.5 0.75", "nan 0.75"),
        r"83\.txt:2: .* must be finite",
    ),
    "frame that the camera file lacks": (
        lambda r: change_line(r / CLIP, 1, None),
        r"45979267\.png: .*83\.txt has no frame of this timestamp",
    ),
    "no frames": (
        lambda r: [path.unlink() for path in (r / "frames" / "test" / CLIP.stem).iterdir()],
        r"000c3ab189999a83 holds no photos",
    ),
    "unreadable frame": (
        lambda r: (r / "frames" / "test" / CLIP.stem / "45979267.png").write_bytes(b"no photo"),
        r"45979267\.png is not a readable photo",
    ),
}


@pytest.mark.parametrize("case", REALESTATE)
def test_realestate10k(case, tmp_path):
    made = fabricate.realestate10k(tmp_path)
    damage, message = REALESTATE[case]
    damage(tmp_path / "realestate10k")

    refused(f"realestate10k:{made.scene}", made, message)


def test_what_is_not_there_is_refused_with_where_to_get_it(tmp_path):
    with pytest.raises(InputError, match="eth3d is missing") as caught:
        load_scene("eth3d:pipes", tmp_path)
    assert "eth3d.net" in caught.value.hint

    fabricate.eth3d(tmp_path)
    with pytest.raises(InputError, match=r"eth3d/office is missing"):
        load_scene("eth3d:office", tmp_path)
    for name in ("kitti:00", "eth3d", "eth3d:"):
        with pytest.raises(InputError, match="no dataset scene"):
            load_scene(name, tmp_path)
