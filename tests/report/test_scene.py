"""The points of a model as the page shows them."""

import numpy as np
import pycolmap

from sfm.report.scene import scene_model


def test_points_without_colour_are_grey_and_others_keep_theirs() -> None:
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 4, 30
    model = pycolmap.synthesize_dataset(options)
    for point in model.points3D.values():
        point.color = np.zeros(3, np.uint8)

    shown = scene_model(model, {}, max_points=100)

    assert np.all(shown.colours == 200)
    next(iter(model.points3D.values())).color = np.array([9, 0, 0], np.uint8)
    assert sorted(map(tuple, np.unique(scene_model(model, {}, max_points=100).colours, axis=0).tolist())) == [
        (0, 0, 0),
        (9, 0, 0),
    ]
