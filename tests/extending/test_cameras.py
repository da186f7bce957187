"""New photos take a camera of the model where it is theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfm.errors import InputError
from sfm.reference.cameras import with_model_cameras
from sfm.types import CameraSpec, Collection, Exif, Photo


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
