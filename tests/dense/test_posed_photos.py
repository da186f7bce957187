"""Poses of photos that are stored rolled go to the network's upright view and back."""

import numpy as np
import pycolmap
import pytest

from sfm.mast3r.network.image_input import pixel_map
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.pointmaps.posed_photos import posed_image, upright_pose

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
