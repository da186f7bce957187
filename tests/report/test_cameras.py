"""What the report says of cameras is so for the lens that they have."""

import re

import numpy as np
import pycolmap
import pytest

from sfm.mapping.measures.observations import PointTable
from sfm.report.cameras import camera_rows, field_of_view, residual_field
from tests.mapping.test_rolling_shutter import NAMES, filmed


@pytest.fixture(scope="module")
def model():
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 8
    options.num_points3D = 1000
    options.camera_width, options.camera_height = 320, 240
    options.camera_model_id = pycolmap.CameraModelId.SIMPLE_RADIAL
    options.camera_params = [200.0, 160.0, 120.0, 0.0]
    pycolmap.set_random_seed(3)
    return pycolmap.synthesize_dataset(options)


def field_with(model, k):
    camera = pycolmap.Camera(model.camera(1).todict())
    camera.params = [200.0, 160.0, 120.0, k]
    return residual_field(camera, list(model.images.values()), PointTable.of(model))


def test_the_right_lens_leaves_nothing(model):
    assert field_with(model, 0.0).max_px < 0.01


def test_a_wrong_lens_leaves_a_pattern_that_points_to_or_from_the_centre(model):
    field = field_with(model, -0.5)
    starts, ends = np.array(
        [[[float(n) for n in point.split()] for point in arrow.split("L")[:2]] for arrow in arrows(field)]
    ).transpose(1, 0, 2)

    outward = np.sum((ends - starts) * (starts - [160, 120]), axis=1)

    assert field.max_px > 0.4
    assert np.mean(outward > 0) > 0.9


def arrows(field):
    """Shafts; each is followed by its barbs."""
    return [part.split("M")[0] for part in field.path.split("M")[1::2]]


def test_parameters_are_shown_to_the_second_digit_of_their_sigma(model):
    noisy = pycolmap.Reconstruction(model)
    pycolmap.synthesize_noise(noise(), noisy)

    shown = dict(camera_rows([noisy])[0].params)
    given = dict(camera_rows([noisy], are_given=True)[0].params)

    assert re.fullmatch(r"\d+\.\d+ ± 0\.0*[1-9]\d", shown["f"])
    assert shown["cx"] == given["cx"] == "160"
    assert given["f"] == "200"


def test_pixels_that_are_not_square_are_told_in_words(model):
    square = camera_rows([model])[0].pixels
    for image_id in model.reg_image_ids():
        model.camera(model.image(image_id).camera_id).model = pycolmap.CameraModelId.PINHOLE
    told = []
    for fx, fy in ((150.0, 200.0), (200.0, 150.0), (200.0, 201.0)):
        model.camera(1).params = [fx, fy, 160.0, 120.0]
        told.append(camera_rows([model])[0].pixels)

    assert square == told[2] == ""
    assert told[0].startswith("Pixels are 1.33 times wider than high: the photos were stretched")
    assert told[1].startswith("Pixels are 1.33 times higher than wide")


def noise():
    options = pycolmap.SyntheticNoiseOptions()
    options.point2D_stddev = 0.5
    return options


def test_a_rolling_shutter_is_told_in_words():
    (shown,) = camera_rows([filmed(0.6)], frames=NAMES)
    (unknown,) = camera_rows([filmed(0.6)])

    assert re.match(
        r"Rolling shutter: the rows are exposed one after the other, top first, in 0\.[56]", shown.readout
    )
    assert unknown.readout == ""


def test_a_camera_that_sees_too_little_has_no_residual_field(model):
    assert residual_field(model.camera(1), [], PointTable.of(model)) is None


@pytest.mark.parametrize(
    ("camera", "degrees"),
    [
        (pycolmap.Camera(model="PINHOLE", width=200, height=100, params=[100, 50, 100, 50]), "90° x 90°"),
        (pycolmap.Camera(model="FISHEYE", width=300, height=150, params=[100, 100, 150, 75]), "172° x 86°"),
        (
            pycolmap.Camera(model="FISHEYE", width=400, height=200, params=[100, 100, 200, 100]),
            "about 180° or more x 115°",
        ),
        (pycolmap.Camera(model="EQUIRECTANGULAR", width=200, height=100, params=[200, 100]), "360° x 180°"),
    ],
)
def test_field_of_view(camera, degrees):
    assert field_of_view(camera) == degrees
