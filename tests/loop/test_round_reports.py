"""What counts as a change of the models."""

import copy

import numpy as np
import pycolmap

from sfm.loop.round_reports import have_moved
from tests.loop.stand_in import model_of

FRAME = pycolmap.Sim3d(2.0, pycolmap.Rotation3d(np.array([0.0, 0.6, 0.0, 0.8])), np.array([1.0, -2.0, 3.0]))


def test_another_frame_is_no_move_and_another_place_is_one() -> None:
    model = model_of(6)
    same, other = (copy.deepcopy(model) for _ in range(2))
    same.transform(FRAME)
    frame = other.image(max(other.reg_image_ids())).frame
    frame.rig_from_world = pycolmap.Rigid3d(
        frame.rig_from_world.rotation, frame.rig_from_world.translation + 5.0
    )

    assert not have_moved([model], [same])
    assert have_moved([model], [other])
    assert not have_moved([], [other])
