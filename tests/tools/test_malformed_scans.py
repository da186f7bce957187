"""A dataset with scanned truth that is not whole is refused with one message that names file and fault."""

from __future__ import annotations

import pytest

from . import fabricate
from .damage import Damage, change, change_line, cut_before, refused

UNDISTORTED = "dslr_calibration_undistorted"
HORSE_LOG = "Horse_COLMAP_SfM.log"

ETH3D: Damage = {
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


TANKS: Damage = {
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
STRECHA: Damage = {
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
