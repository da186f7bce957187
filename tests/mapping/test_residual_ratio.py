"""Models that fit their pairs worse than pairs fit each other are probably bent."""

import copy

import numpy as np
import pycolmap
import pytest

from sfm.mapping.measures.agreement import median_errors_px
from sfm.mapping.measures.residual_ratio import is_bent, residual_ratio
from sfm.mapping.scene.scene import Scene

from . import synthetic
from .running import run

BARREL = (1280.0, 512.0, 384.0, -0.15)


@pytest.fixture(scope="module", params=[None, BARREL], ids=["plain", "barrel"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Scene, pycolmap.Reconstruction]:
    database = tmp_path_factory.mktemp("ratio") / "database.db"
    camera = {"camera": request.param} if request.param else {}
    scene = synthetic.synthesize(database, num_points=300, **camera)
    (model,) = run(scene.database).models
    return Scene.open(scene.database), model


def ratio(scene: Scene, model: pycolmap.Reconstruction) -> float | None:
    return residual_ratio(scene, model, median_errors_px(scene, model, scene.view_graph.edges))


def test_a_right_model_fits_its_pairs_as_pairs_fit_themselves(
    made: tuple[Scene, pycolmap.Reconstruction],
) -> None:
    found = ratio(*made)

    assert found is not None
    assert 0.5 < found < 1.2
    assert not is_bent(found)


def test_a_wrong_focal_length_shows(made: tuple[Scene, pycolmap.Reconstruction]) -> None:
    scene, model = made
    bent = copy.deepcopy(model)
    camera = bent.camera(1)
    params = np.array(camera.params)
    params[list(camera.focal_length_idxs())] *= 1.1
    camera.params = params.tolist()

    found = ratio(scene, bent)

    assert found is not None
    assert is_bent(found)


def test_pairs_that_contradict_a_model_do_not_count(made: tuple[Scene, pycolmap.Reconstruction]) -> None:
    scene, model = made
    errors = dict(median_errors_px(scene, model, scene.view_graph.edges))
    errors[min(errors)] = 400.0

    assert residual_ratio(scene, model, errors) == pytest.approx(ratio(scene, model), rel=0.1)
    assert residual_ratio(scene, model, dict.fromkeys(errors, 400.0)) is None
