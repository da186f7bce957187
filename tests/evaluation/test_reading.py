"""Poses and ground truth from disk, sound and damaged."""

import json
import struct

import numpy as np
import pycolmap
import pytest

from sfm.colmap.model_cameras import camera_entry, read_cameras
from sfm.colmap.model_poses import find_models, read_camera_ids, read_poses
from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.evaluation.names import match_names


def same_poses(found, model):
    assert sorted(found) == sorted(model.image(i).name for i in model.reg_image_ids())
    for image_id in model.reg_image_ids():
        image = model.image(image_id)
        np.testing.assert_allclose(found[image.name].matrix(), image.cam_from_world().matrix(), atol=1e-12)


def test_binary_and_text_models_give_the_poses_that_colmap_wrote(model, model_folder, tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    model.write_text(text)

    same_poses(read_poses(model_folder), model)
    same_poses(read_poses(text), model)


def test_an_empty_line_of_keypoints_and_blanks_in_names_are_read(tmp_path):
    lines = ["# images", "1 1 0 0 0 1 2 3 1 my photo 1.jpg", "", "2 0 1 0 0 0 0 1 1 b.jpg", "5 5 -1"]
    (tmp_path / "images.txt").write_text("\n".join(lines) + "\n")

    found = read_poses(tmp_path)

    assert list(found) == ["b.jpg", "my photo 1.jpg"]
    np.testing.assert_allclose(found["my photo 1.jpg"].translation, [1, 2, 3])


def test_every_truncation_of_images_bin_is_refused_at_once(model_folder):
    file = model_folder / "images.bin"
    whole = file.read_bytes()
    for size in [0, 7, 8, 9, 60, 100, len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:size])

        with pytest.raises(InputError, match=r"images\.bin is (truncated|damaged)"):
            read_poses(model_folder)


def test_a_count_beyond_the_size_of_the_file_is_refused_at_once(model_folder):
    file = model_folder / "images.bin"
    file.write_bytes(struct.pack("<Q", 2**60) + file.read_bytes()[8:])

    with pytest.raises(InputError, match="cannot hold the 1152921504606846976 images"):
        read_poses(model_folder)


def test_a_damaged_points3d_does_not_matter(model, model_folder):
    (model_folder / "points3D.bin").write_bytes(b"\xff" * 11)

    same_poses(read_poses(model_folder), model)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 1 0 0 0 1 2 3 1", r"images\.txt:1: expected 'IMAGE_ID"),
        ("1 1 0 x 0 1 2 3 1 a.jpg", r"images\.txt:1: expected 'IMAGE_ID"),
        ("1 0 0 0 0 1 2 3 1 a.jpg", "'a.jpg' has no valid pose"),
        ("1 1 0 0 0 nan 2 3 1 a.jpg", "'a.jpg' has no valid pose"),
    ],
)
def test_malformed_text_models_are_refused_with_file_and_line(tmp_path, line, message):
    (tmp_path / "images.txt").write_text(line + "\n\n")

    with pytest.raises(InputError, match=message):
        read_poses(tmp_path)


def test_models_are_found_in_a_workspace_a_folder_of_models_and_a_model(model, tmp_path):
    for index in ("0", "1", "10"):
        folder = tmp_path / "sparse" / index
        folder.mkdir(parents=True)
        model.write_binary(folder)

    expected = tuple(tmp_path / "sparse" / index for index in ("0", "1", "10"))
    assert find_models(tmp_path) == expected
    assert find_models(tmp_path / "sparse") == expected
    assert find_models(tmp_path / "sparse" / "1") == (tmp_path / "sparse" / "1",)


def test_a_folder_without_models_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no COLMAP model"):
        find_models(tmp_path)
    with pytest.raises(InputError, match="holds no COLMAP model"):
        find_models(tmp_path / "nowhere")


def test_a_gt_json_and_the_colmap_model_of_the_same_poses_are_equal(model, model_folder, tmp_path):
    entries = {}
    for image_id in model.reg_image_ids():
        pose = model.image(image_id).cam_from_world()
        entries[model.image(image_id).name] = {
            "R_cw": pose.rotation.matrix().tolist(),
            "t_cw": list(pose.translation),
        }
    (tmp_path / "gt.json").write_text(json.dumps({"images": entries, "unit": "m"}))

    from_json, from_model = load_ground_truth(tmp_path / "gt.json"), load_ground_truth(model_folder)

    assert from_json.unit == "m"
    assert from_json.min_baseline == 1e-3
    assert from_json.components is None
    assert list(from_json.poses) == list(from_model.poses)
    for name, pose in from_json.poses.items():
        np.testing.assert_allclose(pose.matrix(), from_model.poses[name].matrix(), atol=1e-9)


def test_components_group_the_photos(tmp_path):
    entry = {"R_cw": np.eye(3).tolist(), "t_cw": [0, 0, 0]}
    content = {"images": {"b": entry, "a": entry, "c": entry}, "components": {"a": "x", "b": "y", "c": "x"}}
    (tmp_path / "gt.json").write_text(json.dumps(content))

    assert load_ground_truth(tmp_path).groups() == {"x": ("a", "c"), "y": ("b",)}


CAMERA = {"model": "PINHOLE", "width": 10, "height": 8, "params": [9, 9, 5, 4]}
IDENTITY = {"R_cw": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "t_cw": [0, 0, 0]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", r"gt\.json:1: not valid JSON"),
        ("[1, 2]", "expected"),
        ('{"images": {}}', "expected"),
        (json.dumps({"images": {"a": {"R_cw": IDENTITY["R_cw"]}}}), "image 'a': t_cw"),
        (json.dumps({"images": {"a": {"R_cw": [[1]], "t_cw": [0, 0, 0]}}}), r"image 'a': R_cw \(3x3\)"),
        (
            json.dumps({"images": {"a": {"R_cw": [[2, 0, 0], [0, 1, 0], [0, 0, 1]], "t_cw": [0, 0, 0]}}}),
            "not a rotation",
        ),
        (
            json.dumps({"images": {"a": {"R_cw": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]], "t_cw": [0, 0, 0]}}}),
            "not a rotation",
        ),
        (json.dumps({"images": {"a": IDENTITY}, "unit": 3}), "unit must be"),
        (json.dumps({"images": {"a": IDENTITY}, "position_accuracy": 0}), "position_accuracy must be"),
        (json.dumps({"images": {"a": IDENTITY}, "metres_per_unit": "1"}), "metres_per_unit must be"),
        (json.dumps({"images": {"a": IDENTITY}, "cameras": []}), "cameras must map"),
        (json.dumps({"images": {"a": IDENTITY}, "cameras": {"a": 3}}), "camera of 'a': COLMAP has no camera"),
        (
            json.dumps({"images": {"a": IDENTITY}, "cameras": {"a": {**CAMERA, "params": [1, 2, 3]}}}),
            "camera of 'a': PINHOLE has the parameters fx, fy, cx, cy",
        ),
        (
            json.dumps({"images": {"a": IDENTITY}, "cameras": {"a": {**CAMERA, "params": [1, "f", 3, 4]}}}),
            "camera of 'a': parameters must be numbers",
        ),
        (
            json.dumps({"images": {"a": IDENTITY}, "cameras": {"a": {**CAMERA, "width": 0}}}),
            "camera of 'a': a photo cannot have 0 x 8 pixels",
        ),
        (
            json.dumps({"images": {"a": IDENTITY, "b": IDENTITY}, "components": {"a": "x"}}),
            "components lacks b",
        ),
        ("[" * 100_000, "nested more than 64 levels deep"),
    ],
)
def test_a_malformed_gt_json_is_refused_with_file_and_entry(tmp_path, content, message):
    (tmp_path / "gt.json").write_text(content)

    with pytest.raises(InputError, match=message) as caught:
        load_ground_truth(tmp_path / "gt.json")
    assert "gt.json" in str(caught.value)


def test_missing_ground_truth_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_ground_truth(tmp_path / "gt.json")


def test_names_match_exactly_first_and_then_by_unique_file_name():
    found = match_names(
        ["a/1.jpg", "images/2.jpg", "x/3.jpg", "y/3.jpg", "4.jpg"],
        ["a/1.jpg", "2.jpg", "z/3.jpg", "b/4.jpg", "c/4.jpg", "b/1.jpg"],
    )

    assert found == {"a/1.jpg": "a/1.jpg", "images/2.jpg": "2.jpg"}


@pytest.mark.shared
def test_all_shared_ground_truth_can_be_read(shared_data):
    files = sorted([*shared_data.glob("*/gt.json"), *shared_data.glob("*/reference.json")])

    assert files
    for file in files:
        truth = load_ground_truth(file)
        photos = {path.name for path in (file.parent / "images").iterdir()}
        assert set(truth.poses) <= photos


def test_pycolmap_still_writes_registered_images_only(model, tmp_path):
    partial = pycolmap.Reconstruction(model)
    partial.deregister_frame(partial.image(partial.reg_image_ids()[0]).frame_id)
    partial.write_binary(tmp_path)

    assert len(read_poses(tmp_path)) == 7


def test_a_gt_json_holds_cameras_the_accuracy_of_positions_and_metres(tmp_path):
    content = {"images": {"a": IDENTITY, "b": IDENTITY}, "cameras": {"a": CAMERA}, "metres_per_unit": 2}
    (tmp_path / "gt.json").write_text(json.dumps({**content, "position_accuracy": 0.02}))

    truth = load_ground_truth(tmp_path)

    assert list(truth.cameras) == ["a"]
    assert camera_entry(truth.cameras["a"]) == CAMERA
    assert (truth.position_accuracy, truth.min_baseline, truth.metres) == (0.02, 0.02, 2.0)


def test_cameras_of_binary_and_text_models_are_those_that_colmap_wrote(model, model_folder, tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    model.write_text(text)

    for folder in (model_folder, text):
        cameras, ids = read_cameras(folder), read_camera_ids(folder)
        for image_id in model.reg_image_ids():
            image = model.image(image_id)
            assert camera_entry(cameras[ids[image.name]]) == camera_entry(image.camera)


def test_every_truncation_of_cameras_bin_is_refused(model_folder):
    file = model_folder / "cameras.bin"
    whole = file.read_bytes()
    for size in [0, 7, 9, 31, 40, len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:size])

        with pytest.raises(InputError, match=r"cameras\.bin is truncated"):
            read_cameras(model_folder)


def test_a_camera_model_of_no_known_number_is_refused(model_folder):
    file = model_folder / "cameras.bin"
    data = bytearray(file.read_bytes())
    data[12:16] = struct.pack("<i", 99)
    file.write_bytes(data)

    with pytest.raises(InputError, match=r"cameras\.bin: camera 1: COLMAP has no camera model of number 99"):
        read_cameras(model_folder)


def test_an_equirectangular_camera_without_parameters_has_those_of_its_size(tmp_path):
    camera = {"model": "EQUIRECTANGULAR", "width": 40, "height": 20, "params": []}
    (tmp_path / "gt.json").write_text(json.dumps({"images": {"a": IDENTITY}, "cameras": {"a": camera}}))

    truth = load_ground_truth(tmp_path)

    assert list(truth.cameras["a"].params) == [40, 20]


def test_other_cameras_without_parameters_are_refused(tmp_path):
    camera = {**CAMERA, "params": []}
    (tmp_path / "gt.json").write_text(json.dumps({"images": {"a": IDENTITY}, "cameras": {"a": camera}}))

    with pytest.raises(InputError, match="camera of 'a': PINHOLE has the parameters"):
        load_ground_truth(tmp_path)
