"""The 3DGS export passes a strict reader of the classic format and still describes the same scene."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.exports import export
from tests.exports.classic_reader import NO_POINT, read_classic

CAMERAS = {
    "PINHOLE": (400.0, 410.0, 160.0, 120.0),
    "SIMPLE_RADIAL": (400.0, 160.0, 120.0, 0.05),
    "OPENCV": (400.0, 405.0, 153.4, 127.2, 0.05, -0.02, 0.001, -0.002),
    "FULL_OPENCV": (400.0, 405.0, 160.0, 120.0, 0.05, -0.02, 0.001, -0.002, 0.01, 0.0, 0.0, 0.0),
    "OPENCV_FISHEYE": (300.0, 300.0, 165.0, 118.0, 0.02, -0.01, 0.0, 0.0),
    "SIMPLE_RADIAL_FISHEYE": (300.0, 160.0, 120.0, 0.02),
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


def test_linked_photos_are_exported_as_files(tmp_path, make_scene):
    model = make_scene(tmp_path, camera_model="PINHOLE", params=CAMERAS["PINHOLE"])
    images, elsewhere = tmp_path / "images", tmp_path / "photos"
    images.rename(elsewhere)
    images.mkdir()
    for image in model.images.values():
        (images / image.name).symlink_to(elsewhere / image.name)

    folder = export(tmp_path, to="3dgs")

    assert not any(path.is_symlink() for path in (folder / "images").iterdir())
    assert (elsewhere / model.image(1).name).is_file()
