"""Loaders on real photos and real ground truth, put back into the layout that their sites ship."""

import numpy as np
import pytest
from photo_sets.strecha import read_camera_file

from sfm.evaluation import load_ground_truth

pytestmark = pytest.mark.shared

FOUNTAIN_0000 = """2759.48 0 1520.69
0 2764.16 1006.81
0 0 1
0 0 0
0.450927 -0.0945642 -0.887537
-0.892535 -0.0401974 -0.449183
0.00679989 0.994707 -0.102528
-7.28137 -7.57667 0.204446
3072 2048
"""
"""gt_dense_cameras/0000.jpg.camera of fountain-P11."""


def test_a_camera_file_as_published_gives_the_pose_that_others_read_from_it(shared_data, tmp_path):
    truth = load_ground_truth(shared_data / "fountain-P11")
    (tmp_path / "0000.jpg.camera").write_text(FOUNTAIN_0000)

    pose, camera = read_camera_file(tmp_path / "0000.jpg.camera")

    np.testing.assert_allclose(pose.matrix(), truth.poses["0000.jpg"].matrix(), atol=2e-5)  # six digits
    scale = truth.cameras["0000.jpg"].width / 3072
    np.testing.assert_allclose(camera.params * scale, truth.cameras["0000.jpg"].params, rtol=1e-9)
