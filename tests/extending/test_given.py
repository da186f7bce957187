"""What is taken from a given model: photos, cameras and keypoints."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.errors import InputError
from sfm.pipelines.extend import Extension, _apart
from sfm.reference.cameras import with_model_cameras
from sfm.reference.colmap_features import _joined
from sfm.reference.model import _model_cameras, open_given
from sfm.reference.photo_files import photos_in, workspace_photos
from sfm.report.result import Result
from sfm.types import CameraSpec, Collection, Exif, Photo, PhotoOutcome, PhotoStatus


def model(camera_id: int, focal_px: float, prefix: str) -> pycolmap.Reconstruction:
    made = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(camera_id, "SIMPLE_PINHOLE", focal_px, 640, 480)
    made.add_camera_with_trivial_rig(camera)
    for number in range(3):
        image = pycolmap.Image(f"{prefix}{number}.jpg", np.zeros((0, 2)), camera_id, number + 1)
        made.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    return made


def test_models_with_cameras_of_their_own_are_taken_together() -> None:
    found = _model_cameras([model(1, 500, "a"), model(2, 600, "b")])

    assert {name[0]: spec.params[0] for name, spec in found.items()} == {"a": 500, "b": 600}


def test_two_of_three_models_with_one_camera_id_are_refused() -> None:
    with pytest.raises(InputError, match="3 models have cameras of the same ids"):
        _model_cameras([model(1, 500, "a"), model(1, 600, "b"), model(2, 700, "c")])


def test_a_model_without_photos_is_refused(tmp_path: Path) -> None:
    pycolmap.Reconstruction().write(tmp_path)

    with pytest.raises(InputError, match="no photo is registered in the model"):
        open_given(tmp_path, images=tmp_path)


def spec(camera_id: int, focal_px: float = 500.0, *, fixed: bool = False) -> CameraSpec:
    params = (focal_px, 320.0, 240.0, 0.0)
    return CameraSpec(camera_id, "SIMPLE_RADIAL", 640, 480, params, has_prior_focal_length=True, fixed=fixed)


def collection(camera_of: dict[str, int], cameras: list[CameraSpec]) -> Collection:
    photos = tuple(
        Photo(name, Path(name), Path(name), name, 640, 480, 1, camera_id, Exif())
        for name, camera_id in sorted(camera_of.items())
    )
    return Collection(photos, {camera.camera_id: camera for camera in cameras})


def cameras_of(found: Collection) -> dict[str, int]:
    return {photo.name: photo.camera_id for photo in found.photos}


def test_a_photo_of_the_same_group_takes_the_model_camera_with_its_id_and_parameters() -> None:
    given = collection({"a": 1, "b": 1, "new": 1}, [spec(1)])

    found = with_model_cameras(given, {"a": spec(7, 612.0), "b": spec(7, 612.0)})

    assert cameras_of(found) == {"a": 7, "b": 7, "new": 7}
    assert found.cameras == {7: spec(7, 612.0)}


def test_photos_of_another_group_share_a_camera_of_their_own_that_follows_the_models() -> None:
    given = collection({"a": 1, "new1": 2, "new2": 2, "new3": 3}, [spec(1), spec(2, 700.0), spec(3, 800.0)])

    found = with_model_cameras(given, {"a": spec(4)})

    assert cameras_of(found) == {"a": 4, "new1": 5, "new2": 5, "new3": 6}
    assert found.cameras[5] == spec(5, 700.0)


def test_where_the_model_has_a_camera_a_photo_new_ones_get_their_own() -> None:
    given = collection({"a": 1, "b": 1, "new": 1}, [spec(1)])

    found = with_model_cameras(given, {"a": spec(1), "b": spec(2)})

    assert cameras_of(found) == {"a": 1, "b": 2, "new": 3}


def test_intrinsics_that_the_user_gave_stay_fixed() -> None:
    given = collection({"a": 1, "new": 1}, [spec(1, fixed=True)])

    assert with_model_cameras(given, {"a": spec(1)}).fixed_cameras == {1}


def test_a_photo_of_another_size_is_named() -> None:
    given = collection({"a": 1}, [spec(1)])
    small = CameraSpec(1, "SIMPLE_RADIAL", 320, 240, (250.0, 160.0, 120.0, 0.0), has_prior_focal_length=True)

    with pytest.raises(InputError, match="a is 640 x 480 px, and its camera in the model 320 x 240"):
        with_model_cameras(given, {"a": small})


def described(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.zeros((count, 6), np.float32)
    keypoints[:, :2] = rng.permutation(400)[:count, None] * [10.0, 3.0] + rng.uniform(0, 1, (count, 2))
    keypoints[:, 2:] = rng.uniform(1, 2, (count, 4))
    return keypoints, rng.integers(1, 255, (count, 128)).astype(np.uint8)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), kept=st.integers(0, 60))
def test_the_model_keeps_its_keypoints_and_each_descriptor_is_used_once(
    seed: int, count: int, kept: int
) -> None:
    rng = np.random.default_rng(seed)
    keypoints, descriptors = described(rng, count)
    chosen = rng.permutation(count)[: min(kept, count)]
    strays = rng.uniform(5000, 6000, (3, 2))
    xy = np.concatenate((keypoints[chosen, :2] + rng.uniform(-0.3, 0.3, (len(chosen), 2)), strays))
    xy = xy.astype(np.float32)

    rows, values = _joined(xy, keypoints, descriptors)

    assert np.array_equal(rows[: len(xy), :2], xy)
    assert np.array_equal(values[: len(chosen)], descriptors[chosen])
    assert not values[len(chosen) : len(xy)].any()
    left = sorted(set(range(count)) - set(chosen.tolist()))
    assert np.array_equal(rows[len(xy) :], keypoints[left])
    assert np.array_equal(values[len(xy) :], descriptors[left])


def test_several_orientations_in_one_place_stay_apart() -> None:
    keypoints, descriptors = described(np.random.default_rng(0), 6)
    keypoints[1, :2] = keypoints[0, :2]
    xy = keypoints[[1, 0, 4], :2].copy()

    _, values = _joined(xy, keypoints, descriptors)

    assert {values[0].tobytes(), values[1].tobytes()} == {descriptors[0].tobytes(), descriptors[1].tobytes()}
    assert np.array_equal(values[2], descriptors[4])


def test_a_model_without_keypoints_leaves_what_was_found() -> None:
    keypoints, descriptors = described(np.random.default_rng(0), 5)

    rows, values = _joined(np.zeros((0, 2), np.float32), keypoints, descriptors)

    assert np.array_equal(rows, keypoints)
    assert np.array_equal(values, descriptors)


@pytest.mark.parametrize("name", ["../photos/a.jpg", "{photos}/a.jpg"])
def test_a_name_that_leads_elsewhere_is_told(tmp_path: Path, name: str) -> None:
    photos = tmp_path / "photos"
    (tmp_path / "out" / "images").mkdir(parents=True)
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a photo")
    name = name.format(photos=photos)

    with pytest.raises(InputError, match="cannot be used as the name of a photo"):
        photos_in(photos, [name])
    with pytest.raises(InputError, match="cannot be used as the name of a photo"):
        workspace_photos(tmp_path / "out", [f"../{name}"])


def test_photos_in_linked_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").write_bytes(b"a photo")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "day1").symlink_to(tmp_path / "disk")

    (found,) = photos_in(tmp_path / "photos", ["day1/a.jpg"])

    assert found.path == tmp_path / "photos" / "day1" / "a.jpg"


def outcome(name: str, model: int | None) -> PhotoOutcome:
    status = PhotoStatus.NOT_REGISTERED if model is None else PhotoStatus.REGISTERED
    return PhotoOutcome(name, status, model)


def test_photos_that_make_models_of_their_own_do_not_count_as_added() -> None:
    photos = (outcome("old", 1), outcome("near", 1), outcome("far", 0), outcome("lost", None))
    result = cast(Result, SimpleNamespace(outcomes=photos))

    apart = _apart(result, frozenset({"near", "far", "lost"}), frozenset({"old"}))
    extension = Extension(result, False, photos[1:], apart)

    assert apart == {"far"}
    assert extension.num_registered == 1
    assert extension.to_dict()["apart"] == ["far"]
