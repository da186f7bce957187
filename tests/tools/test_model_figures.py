"""Figures of a model without any truth."""

import math

import numpy as np
import pycolmap
import pytest
from metrics.model_figures import model_figures

from tests.tools import fabricate


def test_figures_of_a_model_equal_their_definition_in_loops(tmp_path):
    made = fabricate.colmap_binary(tmp_path)
    folder = made.folder / "sparse" / "0"
    model = pycolmap.Reconstruction(folder)
    rng = np.random.default_rng(0)
    for image in model.images.values():  # errors to measure
        for point in image.points2D:
            point.xy = point.xy + rng.normal(size=2)
    model.write_binary(folder)
    means, observations = [], 0
    for point in model.points3D.values():
        errors = []
        for element in point.track.elements:
            image = model.image(element.image_id)
            seen = image.camera.img_from_cam(image.cam_from_world() * point.xyz)
            errors.append(math.dist(seen, image.points2D[element.point2D_idx].xy))
        means.append(sum(errors) / len(errors))
        observations += len(errors)

    found = model_figures(folder)

    assert (found.registered, found.points) == (6, len(means))
    assert found.mean_track_length == pytest.approx(observations / len(means), abs=1e-9)
    assert found.mean_reprojection_px == pytest.approx(sum(means) / len(means), abs=1e-9)
    assert found.mean_reprojection_px > 0.5
