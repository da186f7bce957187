from dataclasses import replace

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig
from sfm.mapping.cameras.model_selection import TriedBlock
from sfm.mapping.cameras.richer_cameras import RicherCameras, adjusted_with, richer_cameras
from sfm.mapping.scene.camera_models import LADDERS, as_model, prior_of, sigma_of_principal_point

from . import lenses
from .lenses import (
    FOCAL,
    HEIGHT,
    NOISE_PX,
    RICH,
    SHIFT,
    WIDTH,
    Array,
    adjusted,
    adjustment,
    cloud,
    finished,
    looking,
    opencv,
    photographed,
    ring,
)
from .running import seeds


def freed(
    model: pycolmap.Reconstruction, fixed: set[int] | None = None, **refine: str
) -> tuple[pycolmap.Reconstruction, dict[str, TriedBlock]]:
    config = RefineConfig(**refine)  # type: ignore[arg-type]
    result, tried = lenses.freed(model, config, fixed_cameras=fixed)
    return result, {block.block: block for block in tried}


def asked(model: pycolmap.Reconstruction) -> RicherCameras:
    return richer_cameras(model, adjustment(), RefineConfig(), fixed_cameras=frozenset())


def accepted(tried: dict[str, TriedBlock]) -> set[str]:
    return {name for name, block in tried.items() if block.accepted}


@pytest.mark.parametrize(
    ("lens", "blocks", "true"),
    [
        (opencv(distortion=(0.02, -0.06, 0, 0)), {"RADIAL"}, {"k2": -0.06}),
        (opencv(shift=SHIFT), {"principal_point"}, {"cx": 9, "cy": -6}),
        (opencv(aspect=0.003), {"OPENCV"}, {"aspect": 0.003, "p1": 0, "p2": 0}),
        (
            opencv(shift=SHIFT, aspect=0.003, distortion=RICH),
            {"RADIAL", "principal_point", "OPENCV"},
            {"k2": -0.08, "cx": 9, "cy": -6, "aspect": 0.003, "p1": 0.0012, "p2": -0.0008},
        ),
    ],
    ids=["k2", "principal point", "fx/fy", "all"],
)
@seeds(0, 1, 2)
def test_what_a_lens_has_is_found_within_its_sigma_and_nothing_else(
    lens: pycolmap.Camera, blocks: set[str], true: dict[str, float], seed: int
) -> None:
    """But a principal point in the middle by chance: Akaike's criterion frees one in seven."""
    result, tried = freed(finished(lens, seed=seed))

    assert accepted(tried) - {"principal_point"} == blocks - {"principal_point"}
    assert accepted(tried) >= blocks
    for name in accepted(tried):
        for parameter, value in tried[name].shift.items():
            assert abs(value - true.get(parameter, 0.0)) < 4 * tried[name].sigma[parameter], parameter
    richest = [model for model in LADDERS[0] if model in blocks] or ["SIMPLE_RADIAL"]
    assert result.camera(1).model_name == richest[-1]
    assert abs(result.camera(1).mean_focal_length() / FOCAL - 1) < 2e-3


@pytest.mark.parametrize("aspect", [-0.1, 0.04])
def test_pixels_far_from_square_are_found_though_no_lens_has_them(aspect: float) -> None:
    """Images were stretched."""
    result, tried = freed(finished(opencv(aspect=aspect)))

    assert "OPENCV" in accepted(tried)
    camera = result.camera(1)
    found = (camera.focal_length_x - camera.focal_length_y) / camera.mean_focal_length()
    assert found == pytest.approx(aspect, abs=0.004)


@pytest.mark.parametrize("seed", range(3))
def test_a_simple_lens_stays_simple(seed: int) -> None:
    model = finished(opencv(), seed=seed, num_points=200)

    result, tried = freed(model)

    assert accepted(tried) == set()
    assert result is model
    alone = {"RADIAL", "principal_point", "OPENCV"}
    assert set(tried) == alone | {"RADIAL and principal_point and OPENCV"}


def nadir(rng: np.random.Generator, num_points: int = 600) -> tuple[list[pycolmap.Rigid3d], Array]:
    """A drone over flat ground, every photo looking straight down."""
    places = np.array([[1.2 * (i % 4), 1.2 * (i // 4), -8.0] for i in range(12)])
    poses = [looking(c, c + np.array([rng.normal(scale=0.1), rng.normal(scale=0.1), 8.0])) for c in places]
    ground = np.column_stack((rng.uniform(-4, 8, (num_points, 2)), rng.normal(scale=0.02, size=num_points)))
    return poses, ground


def forward(rng: np.random.Generator) -> tuple[list[pycolmap.Rigid3d], Array]:
    """A walk straight ahead."""
    poses = [looking(np.array([0.0, 0, 0.3 * i - 6]), np.array([0.0, 0, 20])) for i in range(12)]
    walls = np.column_stack((rng.uniform(-4, 4, 600), rng.uniform(-3, 3, 600), rng.uniform(2, 14, 600)))
    return poses, walls


@seeds(0, 1, 2)
def test_motions_that_cannot_tell_are_refused(seed: int) -> None:
    poses, points = forward(np.random.default_rng(seed))
    model = finished(opencv(shift=SHIFT, aspect=0.003), seed=seed, poses=poses, points=points)

    result, tried = freed(model)

    assert not {"principal_point", "OPENCV"} & accepted(tried)
    assert all(block.why for block in tried.values())
    camera = result.camera(1)
    assert (camera.principal_point_x, camera.principal_point_y) == (WIDTH / 2, HEIGHT / 2)


@seeds(0, 1, 2)
def test_what_a_flight_without_tilt_leaves_open_stays_where_lenses_are(seed: int) -> None:
    poses, points = nadir(np.random.default_rng(seed))
    model = finished(opencv(shift=SHIFT, aspect=0.003), seed=seed, poses=poses, points=points)

    result, tried = freed(model)

    assert "OPENCV" not in accepted(tried)
    assert all(block.why for block in tried.values())
    camera = result.camera(1)
    off = np.subtract((camera.principal_point_x, camera.principal_point_y), (WIDTH / 2, HEIGHT / 2))
    assert np.abs(off).max() < 2 * sigma_of_principal_point(camera, is_cropped=False)


@seeds(0, 1, 2)
def test_photos_that_err_alike_leave_more_to_the_prior(seed: int) -> None:
    """A lens that moves a little: its mean is known less well than noise alone would have it."""
    rng = np.random.default_rng(seed)
    poses, points = ring(12, rng), cloud(400, rng)
    moving = [opencv(shift=tuple(np.add(SHIFT, rng.normal(scale=3, size=2)))) for _ in poses]
    noise = rng.normal(scale=NOISE_PX, size=(12, 400, 2))
    model = adjusted(photographed(moving, poses, points, noise))
    richer = asked(model)

    found = adjusted_with(richer.started(model), richer, adjustment())
    alone = replace(richer.selections[1], design_effects={})
    sure = adjusted_with(richer.started(model), replace(richer, selections={1: alone}), adjustment())

    assert min(richer.selections[1].design_effects.values()) > 5
    assert found is not None
    assert sure is not None
    off, off_by_noise = (
        np.hypot(camera.principal_point_x - WIDTH / 2, camera.principal_point_y - HEIGHT / 2)
        for camera in (found.camera(1), sure.camera(1))
    )
    assert off < off_by_noise


@seeds(0, 1, 2)
def test_what_is_free_stays_free_when_it_is_asked_again(seed: int) -> None:
    model, _ = freed(finished(opencv(shift=SHIFT), seed=seed))

    again = asked(model).selections[1]

    assert again.accepted == ("principal_point",)
    assert not again.is_richer


@seeds(0, 1, 2)
def test_distortion_is_found_where_the_focal_length_is_unknown_with_it_and_without(seed: int) -> None:
    """A drone's block of one height: the ground bends to fit any focal length, but not any distortion."""
    poses, points = nadir(np.random.default_rng(seed), 1500)
    model = finished(opencv(distortion=(0.02, 0.2, 0, 0)), seed=seed, poses=poses, points=points)

    _, tried = freed(model)

    assert accepted(tried) == {"RADIAL"}
    assert tried["RADIAL"].shift["k2"] == pytest.approx(0.2, abs=0.08)


def tilted(rng: np.random.Generator) -> tuple[list[pycolmap.Rigid3d], Array]:
    """A kite over fields, climbing, there and back, hardly tilted."""
    places = np.array([[1.2 * (i % 6), 1.2 * (i // 6), -8 - 0.05 * i] for i in range(30)])
    poses = [
        looking(
            c,
            c + np.array([*rng.normal(scale=0.48, size=2), 8.0]),
            np.pi * (i // 6 % 2) + rng.normal(scale=0.1),
        )
        for i, c in enumerate(places)
    ]
    ground = np.column_stack((rng.uniform(-4, 10, (1500, 2)), rng.normal(scale=0.15, size=1500)))
    return poses, ground


@seeds(1, 2, 3)
def test_a_lens_off_its_centre_is_found_where_all_of_it_is_needed(seed: int) -> None:
    poses, points = tilted(np.random.default_rng(seed))
    lens = opencv(shift=(18, 12), distortion=(-0.012, 0.006, 0.003, 0.006))  # much as caliterra's

    result, _ = freed(finished(lens, seed=seed, poses=poses, points=points))

    camera = result.camera(1)
    assert camera.model_name == "OPENCV"
    assert np.allclose(
        camera.params, [FOCAL, FOCAL, 530, 396, -0.012, 0.006, 0.003, 0.006], rtol=2e-3, atol=2e-3
    )


@seeds(0, 1, 2)
def test_tangential_distortion_is_found_where_the_focal_length_is_held(seed: int) -> None:
    poses, points = tilted(np.random.default_rng(seed))
    model = finished(opencv(distortion=(0.02, 0, 0.004, -0.003)), seed=seed, poses=poses, points=points)
    held = model.camera(1).mean_focal_length()

    result, tried = lenses.freed(model, RefineConfig(), holds_focal=True)

    camera = result.camera(1)
    assert {block.block for block in tried if block.accepted} >= {"OPENCV"}
    assert camera.model_name == "OPENCV"
    assert (camera.focal_length_x, camera.focal_length_y) == (held, held)
    assert np.allclose(camera.params[-2:], (0.004, -0.003), atol=5e-4)


@seeds(0, 1, 2)
def test_a_lens_that_moves_between_photos_is_not_known_better_than_it_moves(seed: int) -> None:
    """As stabilised ones do: each observation is precise, and all of a photo err alike."""
    rng = np.random.default_rng(seed)
    poses, points = ring(12, rng), cloud(400, rng)
    lenses = [opencv(shift=tuple(rng.normal(scale=6, size=2))) for _ in poses]
    noise = rng.normal(scale=NOISE_PX, size=(12, 400, 2))

    _, tried = freed(adjusted(photographed(lenses, poses, points, noise)))

    assert accepted(tried) <= {"principal_point"}
    mean = np.mean([lens.params[2:4] for lens in lenses], axis=0) - (WIDTH / 2, HEIGHT / 2)
    found = tried["principal_point"]
    for parameter, value in zip(("cx", "cy"), mean, strict=True):
        assert found.sigma[parameter] > 0.5  # of independent observations 0.05
        assert abs(found.shift[parameter] - value) < 4 * found.sigma[parameter]


def test_the_user_bounds_the_ladder() -> None:
    model = finished(opencv(shift=SHIFT, aspect=0.003, distortion=RICH))

    _, none = freed(model, principal_point="never", max_camera_model="SIMPLE_RADIAL")
    _, radial = freed(model, max_camera_model="RADIAL")
    _, fixed = freed(model, fixed={1})

    assert none == {}
    assert set(radial) == {"RADIAL", "principal_point"}
    assert fixed == {}


@seeds(0, 1, 2)
def test_five_photos_are_enough_where_they_tell(seed: int) -> None:
    _, tried = freed(finished(opencv(shift=SHIFT), num_images=5, seed=seed))

    assert accepted(tried) == {"principal_point"}


def test_two_photos_are_not_asked() -> None:
    model = finished(opencv(shift=SHIFT, distortion=RICH), num_images=2)

    result, tried = freed(model)

    assert tried == {}
    assert result is model


def test_a_camera_that_is_off_the_ladder_keeps_its_model_but_may_get_a_principal_point() -> None:
    params = [FOCAL, WIDTH / 2, HEIGHT / 2, -0.02]
    believed = pycolmap.Camera(
        camera_id=1, model="SIMPLE_DIVISION", width=WIDTH, height=HEIGHT, params=params
    )
    lens = pycolmap.Camera(believed.todict())
    lens.principal_point_x, lens.principal_point_y = WIDTH / 2 + SHIFT[0], HEIGHT / 2 + SHIFT[1]

    result, tried = freed(finished(lens, believed=believed))

    assert set(tried) == accepted(tried) == {"principal_point"}
    assert result.camera(1).model_name == "SIMPLE_DIVISION"
    assert np.allclose(list(tried["principal_point"].shift.values()), SHIFT, atol=1)


@pytest.mark.parametrize(
    ("distortion", "accepted_model"),
    [
        ((0.02, 0, 0, 0), "SIMPLE_RADIAL_FISHEYE"),
        ((0.02, -0.02, 0, 0), "RADIAL_FISHEYE"),
        ((0.05, -0.06, 0.05, -0.015), "OPENCV_FISHEYE"),
        ((0.05, -0.06, 0.003, -0.002, 0.05, -0.015, 0.001, 0.002), "THIN_PRISM_FISHEYE"),
    ],
)
def test_a_fisheye_gets_as_rich_as_its_photos_show(
    distortion: tuple[float, ...], accepted_model: str
) -> None:
    rng = np.random.default_rng(0)
    focal, centre = WIDTH / np.radians(120), [WIDTH / 2, HEIGHT / 2]
    fisheye = {"camera_id": 1, "width": WIDTH, "height": HEIGHT}
    drawn = "OPENCV_FISHEYE" if len(distortion) == 4 else "THIN_PRISM_FISHEYE"
    lens = pycolmap.Camera(model=drawn, params=[focal, focal, *centre, *distortion], **fisheye)
    believed = pycolmap.Camera(model="SIMPLE_RADIAL_FISHEYE", params=[focal, *centre, 0.02], **fisheye)
    places = rng.uniform(-1.5, 1.5, (12, 3)) - (0, 0, 3)
    poses = [looking(place, rng.normal(scale=1.0, size=3), roll) for roll, place in enumerate(places)]
    points = rng.uniform((-6, -6, -1), (6, 6, 4), (800, 3))

    model = finished(lens, poses=poses, points=points, believed=believed)
    result, _ = freed(model, max_camera_model="FULL_OPENCV")

    camera = result.camera(1)
    assert camera.model_name == accepted_model
    seen = camera.cam_ray_from_img(np.array([[20.0, 20.0], [WIDTH / 2, 10.0], [300.0, 200.0]]))
    assert np.allclose(lens.img_from_cam(np.asarray(seen)), [[20, 20], [WIDTH / 2, 10], [300, 200]], atol=1.5)


def test_a_fisheye_needs_less_evidence_than_an_ordinary_lens() -> None:
    """Eight photos through a drone's lens as it was measured: evidence of .8 for k2."""
    rng = np.random.default_rng(0)
    focal, centre = WIDTH / np.radians(120), [WIDTH / 2, HEIGHT / 2]
    fisheye = {"camera_id": 1, "width": WIDTH, "height": HEIGHT}
    distortion = (0.03, -0.0157, 0.021, -0.0094)
    lens = pycolmap.Camera(model="OPENCV_FISHEYE", params=[focal, focal, *centre, *distortion], **fisheye)
    believed = pycolmap.Camera(model="SIMPLE_RADIAL_FISHEYE", params=[focal, *centre, 0.02], **fisheye)
    places = rng.uniform(-1.5, 1.5, (8, 3)) - (0, 0, 3)
    poses = [looking(place, rng.normal(scale=1.0, size=3), roll) for roll, place in enumerate(places)]
    points = rng.uniform((-6, -6, -1), (6, 6, 4), (150, 3))

    result, tried = freed(finished(lens, poses=poses, points=points, believed=believed))

    assert tried["RADIAL_FISHEYE"].log_evidence is not None
    assert 0 < tried["RADIAL_FISHEYE"].log_evidence < 1.5
    assert accepted(tried) == {"RADIAL_FISHEYE"}
    assert result.camera(1).model_name == "RADIAL_FISHEYE"


def brown(distortion: tuple[float, ...]) -> pycolmap.Camera:
    """FULL_OPENCV with these k1, k2, p1, p2, k3."""
    params = [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, *distortion, 0.0, 0.0, 0.0]
    return pycolmap.Camera(camera_id=1, model="FULL_OPENCV", width=WIDTH, height=HEIGHT, params=params)


@seeds(0, 1)
def test_the_richest_model_is_given_on_demand(seed: int) -> None:
    lens = brown((-0.2, 0.25, 0.0, 0.0, -0.25))
    model = finished(lens, seed=seed, num_points=800)

    rich, tried = freed(model, max_camera_model="FULL_OPENCV")
    _, by_default = freed(model)

    assert tried["FULL_OPENCV"].accepted
    assert "FULL_OPENCV" not in by_default
    camera = rich.camera(1)
    assert camera.model_name == "FULL_OPENCV"
    xy = np.array([[20.0, 20.0], [WIDTH / 2, 10.0], [300.0, 200.0]])
    assert np.allclose(lens.img_from_cam(np.asarray(camera.cam_ray_from_img(xy))), xy, atol=1.5)


def test_parameters_that_observations_leave_open_stay_where_lenses_are() -> None:
    model = finished(opencv(distortion=(0.1, -0.3, 0, 0)), num_images=5, num_points=100)
    camera = model.camera(1)
    wide = as_model(camera, "FULL_OPENCV")
    camera.model, camera.params = wide.model, wide.params
    richer = RicherCameras({}, {1: 5}, frozenset(), frozenset(), NOISE_PX)

    found = adjusted_with(model, richer, adjustment())
    assert found is not None
    adjusted(model)  # without priors

    radial = [5, 8, 9, 10, 11]  # k2 to k6
    sigma = np.sqrt(np.diagonal(prior_of(found.camera(1))[1]))[radial]
    held, loose = (np.linalg.norm(one.camera(1).params[radial] / sigma) for one in (found, model))
    assert loose > 1.3 * held
    assert found.compute_mean_reprojection_error() < 1.001 * model.compute_mean_reprojection_error()
