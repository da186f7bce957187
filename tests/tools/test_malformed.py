"""A dataset that is not whole is refused with one message that names file and fault."""

from pathlib import Path

import pytest
from photo_sets import load_scene

from sfm.errors import InputError
from tests.tools import fabricate
from tests.tools.damage import Damage, change, cut, emptied, gone, holds, line, refused, rewritten

UNDISTORTED = "dslr_calibration_undistorted"
HORSE_LOG = "Horse_COLMAP_SfM.log"

ETH3D: Damage = {
    "missing file of poses": (gone(f"{UNDISTORTED}/images.txt"), r"undistorted/images\.txt is missing"),
    "missing file of cameras": (gone(f"{UNDISTORTED}/cameras.txt"), r"undistorted/cameras\.txt is missing"),
    "truncated between two images": (
        rewritten(f"{UNDISTORTED}/images.txt", lambda text: "\n".join(text.split("\n")[:-5]) + "\n"),
        r"images\.txt announces 14 images and holds 12",
    ),
    "pose that is no number": (
        line(f"{UNDISTORTED}/images.txt", 4, "1 1 0 0 0 nan 2 3 0 dslr_images_undistorted/DSC_0634.JPG"),
        r"images\.txt: image .*DSC_0634\.JPG' has no valid pose",
    ),
    "camera that is not listed": (
        line(f"{UNDISTORTED}/cameras.txt", 4, None),
        r"the camera 1 of .*DSC_0635\.JPG' is not among its cameras",
    ),
    "camera with too few parameters": (
        change(f"{UNDISTORTED}/cameras.txt", "40.5 41 32 24", "40.5 41 32"),
        r"cameras\.txt:4: PINHOLE has the parameters fx, fy, cx, cy",
    ),
    "camera model that nobody knows": (
        change(f"{UNDISTORTED}/cameras.txt", "PINHOLE", "PINHOLES"),
        r"cameras\.txt:4: COLMAP has no camera model 'PINHOLES'",
    ),
    "photo missing from disk": (
        gone("images/dslr_images_undistorted/DSC_0640.JPG"),
        r"DSC_0640\.JPG is missing: .*images\.txt knows it",
    ),
    "photo without a pose": (
        lambda f: fabricate.write_photos(f / "images", ["dslr_images_undistorted/DSC_9999.JPG"]),
        r"DSC_9999\.JPG has no pose in .*images\.txt",
    ),
    "no photos at all": (
        emptied("images/dslr_images_undistorted"),
        r"dslr_images_undistorted holds no photos",
    ),
}


TANKS: Damage = {
    "missing log": (gone(HORSE_LOG), r"Horse_COLMAP_SfM\.log is missing"),
    "log with NaN": (
        line(HORSE_LOG, 7, "nan 0 0 1"),
        r"Horse_COLMAP_SfM\.log:8: a row of a 4x4 matrix must be finite",
    ),
    "truncated block": (
        line(HORSE_LOG, -1, None),
        r"Horse_COLMAP_SfM\.log is truncated: its last pose has 4 of 5 lines",
    ),
    "a line lost in the middle": (
        lambda f: (line(HORSE_LOG, 7, None)(f), line(HORSE_LOG, 0, "0 0 0\n1 0 0 0")(f)),
        r"Horse_COLMAP_SfM\.log:\d+: (expected|the last row)",
    ),
    "matrix that is no rotation": (
        line(HORSE_LOG, 6, "2 0 0 1"),
        r"Horse_COLMAP_SfM\.log:6: its matrix is not a rotation",
    ),
    "index twice": (
        line(HORSE_LOG, 5, "0 0 0"),
        r"Horse_COLMAP_SfM\.log:6: '0 0 0' is no index of a further photo",
    ),
    "empty log": (holds(HORSE_LOG, b""), r"Horse_COLMAP_SfM\.log is empty"),
    "transform that is no similarity": (
        line("Horse_trans.txt", 0, "5 0 0 0"),
        r"Horse_trans\.txt: its matrix is not a similarity",
    ),
    "transform of three rows": (
        line("Horse_trans.txt", 0, None),
        r"Horse_trans\.txt: expected the 4 rows of a 4x4 matrix, found 3 lines",
    ),
}


CAMERAS = "gt_dense_cameras"
STRECHA: Damage = {
    "no cameras": (emptied(CAMERAS), r"gt_dense_cameras holds no \.camera files"),
    "one camera missing": (
        gone(f"{CAMERAS}/0004.jpg.camera"),
        r"0004\.jpg has no pose in .*gt_dense_cameras",
    ),
    "a camera and its photo missing": (
        gone("images/0004.jpg", f"{CAMERAS}/0004.jpg.camera"),
        r"images has 7 photos where scenes\.yaml lists 8",
    ),
    "truncated": (line(f"{CAMERAS}/0002.jpg.camera", -1, None), r"0002\.jpg\.camera has 8 rows, not the 9"),
    "distortion": (
        line(f"{CAMERAS}/0002.jpg.camera", 3, "0.1 0 0"),
        r"0002\.jpg\.camera:4: photos with distortion",
    ),
    "skew": (line(f"{CAMERAS}/0002.jpg.camera", 0, "57 1 31"), r"0002\.jpg\.camera:1: K is not of the form"),
    "size of nothing": (
        line(f"{CAMERAS}/0002.jpg.camera", 8, "0 48"),
        r"0002\.jpg\.camera: a photo cannot have 0 x 48 pixels",
    ),
}


MODEL = "sparse/0"
COLMAP: Damage = {
    "no poses": (gone(f"{MODEL}/images.bin"), r"sparse/0 holds no COLMAP model"),
    "no cameras": (gone(f"{MODEL}/cameras.bin"), r"sparse/0 has neither cameras\.bin nor cameras\.txt"),
    "truncated poses": (cut(f"{MODEL}/images.bin", 100), r"images\.bin is (truncated|damaged)"),
    "truncated cameras": (cut(f"{MODEL}/cameras.bin", 50), r"cameras\.bin is truncated"),
}


DAMAGES = {
    "eth3d:pipes": (fabricate.eth3d, ETH3D),
    "tanks_and_temples:Horse": (fabricate.tanks_and_temples, TANKS),
    "strecha:Herz-Jesus-P8": (fabricate.strecha, STRECHA),
    "mipnerf360:mine": (fabricate.colmap_binary, COLMAP),
}


@pytest.mark.parametrize(
    ("scene", "case"), [(s, case) for s, (_, cases) in DAMAGES.items() for case in cases]
)
def test_a_damaged_scene_is_refused(scene, case, tmp_path):
    make, cases = DAMAGES[scene]
    made = make(tmp_path)
    assert scene.partition(":")[2] == made.scene
    damage, message = cases[case]
    damage(made.folder.parent if scene.startswith("tanks_and_temples") else made.folder)

    refused(scene, made, message)


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


def without_lines(log: Path, first: int, last: int | None) -> None:
    lines = log.read_text().splitlines(keepends=True)
    del lines[first:last]
    log.write_text("".join(lines))


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [(500, None, r"000101\.jpg, 000102\.jpg, 000103\.jpg \(and 48 more\)"), (10, 15, r"000003\.jpg")],
)
def test_a_log_that_lacks_whole_poses(first, last, named, tmp_path):
    made = fabricate.tanks_and_temples(tmp_path)
    without_lines(made.folder.parent / "Horse_COLMAP_SfM.log", first, last)

    with pytest.raises(InputError, match=rf"Horse: {named} has no pose in .*Horse_COLMAP_SfM\.log"):
        load_scene("tanks_and_temples:Horse", tmp_path)


def test_a_log_and_photos_that_fit_but_are_other_than_the_list_says(tmp_path):
    made = fabricate.tanks_and_temples(tmp_path, count=150)

    with pytest.raises(InputError, match=r"Horse has 150 photos where scenes\.yaml lists 151"):
        load_scene(f"tanks_and_temples:{made.scene}", tmp_path)
