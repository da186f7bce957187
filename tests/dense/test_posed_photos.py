"""Poses of photos that are stored rolled go to the network's upright view and back."""

import numpy as np
import pycolmap
import pytest

from sfm.mast3r.network.image_input import pixel_map
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.pointmaps.correspondences import network_intrinsics, undistorted_pixels
from sfm.matching.dense.pointmaps.posed_photos import posed_image, upright_pose
from sfm.types import CameraSpec

POSE = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0.1, -0.3, 0.3, 0.9])), np.array([1.0, 2, 3]))


def stored(orientation: int) -> PhotoMap:
    upright, size = (160, 128), (160, 128) if orientation < 5 else (128, 160)
    return PhotoMap(pixel_map(upright, "a", size=160), size, orientation)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_upright_pose_is_that_from_which_the_stored_one_follows(orientation: int) -> None:
    photo = stored(orientation)

    upright = upright_pose(POSE, photo)

    assert upright is not None
    back = posed_image(upright, 100.0, (80.0, 64.0), photo)
    assert back is not None
    np.testing.assert_allclose(back.cam_from_world.matrix(), POSE.matrix(), atol=1e-12)
    # a point seen upright in one pixel is seen stored in the pixel that this one is stored at
    point = np.array([0.3, -0.2, 4.0])
    seen, kept = upright * point, POSE * point
    pixel = 100 * seen[:2] / seen[2] + (80.0, 64.0)
    focal, centre = np.array(back.focal_px), np.array(back.principal_point)
    np.testing.assert_allclose(focal * kept[:2] / kept[2] + centre, photo.to_photo(pixel[None])[0], atol=1e-3)


@pytest.mark.parametrize("orientation", [2, 4, 5, 7])
def test_photos_that_are_stored_mirrored_have_no_upright_pose(orientation: int) -> None:
    assert upright_pose(POSE, stored(orientation)) is None


@pytest.mark.parametrize("orientation", [1, 6])
def test_undistorted_pixels_are_those_of_a_camera_of_focal_length_and_principal_point(
    orientation: int,
) -> None:
    photo = stored(orientation)
    width, height = photo.stored_size
    params = (125.0, 125.0, 70.0, 65.0, -0.1, 0.01, 0.002, -0.001)
    camera = CameraSpec(1, "OPENCV", width, height, params, True, True)
    pixels = np.array([[0, 0], [80, 60], [159, 119], [20, 100]])

    found = undistorted_pixels(pixels, camera, photo)

    focal, centre = network_intrinsics(camera, photo)
    turn = posed_image(pycolmap.Rigid3d(), focal, centre, photo)
    assert turn is not None
    rays = np.column_stack([(found - centre) / focal, np.ones(4)]) @ turn.cam_from_world.rotation.matrix().T
    given = pycolmap.Camera(model="OPENCV", width=width, height=height, params=list(params))
    seen = given.img_from_cam(rays)
    np.testing.assert_allclose(seen, photo.to_photo(pixels.astype(float)), atol=1e-3)
    assert np.abs(found - pixels).max() > 1
