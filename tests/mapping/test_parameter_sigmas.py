"""Standard deviations of intrinsics are those that repeated measurements would show."""

import numpy as np
import pycolmap

from sfm.config.schema import RefineConfig
from sfm.mapping.cameras.parameter_sigmas import parameter_sigmas

from .lenses import FOCAL, HEIGHT, WIDTH, finished, freed, opencv

SHIFT = (9.0, -6.0)
TRUE = {"f": FOCAL, "cx": WIDTH / 2 + SHIFT[0], "cy": HEIGHT / 2 + SHIFT[1], "k": 0.02}


def test_true_values_lie_within_the_sigmas_that_are_said() -> None:
    off = []
    for seed in range(8):
        model, _ = freed(finished(opencv(shift=SHIFT), seed=seed), RefineConfig())
        camera = model.camera(1)
        values = dict(zip(("f", "cx", "cy", "k"), camera.params, strict=True))
        sigmas = parameter_sigmas(model, 1)
        assert sigmas.keys() == TRUE.keys()
        off += [(values[name] - TRUE[name]) / sigmas[name] for name in TRUE]

    assert 0.5 < np.sqrt(np.mean(np.square(off))) < 1.6
    assert np.abs(off).max() < 5


def test_a_principal_point_that_nobody_asked_for_has_none() -> None:
    assert parameter_sigmas(finished(opencv()), 1).keys() == {"f", "k"}


def test_two_images_say_nothing() -> None:
    assert parameter_sigmas(finished(opencv(), num_images=2), 1) == {}


def test_a_panorama_has_no_parameters() -> None:
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="EQUIRECTANGULAR", width=200, height=100, params=[200, 100])
    model.add_camera_with_trivial_rig(camera)

    assert parameter_sigmas(model, 1) == {}
