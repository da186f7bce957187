"""Cameras whose images are turned or resized are found to have one lens, and get the same intrinsics."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyceres
import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.config.schema import RefineConfig
from sfm.mapping.cameras.richer_cameras import adjusted_with, richer_cameras
from sfm.mapping.cameras.shared_lens import LensView, possible_views, tie, tied_cameras

from .lenses import FOCAL, HEIGHT, WIDTH, Array, adjusted, adjustment, cloud, finished, opencv
from .running import seeds

QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
SHIFT = (7.0, -5.0)
ROOT = Path(__file__).parents[2]


def shown(camera: pycolmap.Camera, xy: Array, view: LensView) -> Array:
    """Where pixels (N, 2) of an image are after it was turned, resized and cut."""
    height, width = camera.height, camera.width
    for _ in range(view.turns):
        xy = np.stack((height - xy[:, 1], xy[:, 0]), axis=1)
        height, width = width, height
    return view.scale * xy + np.array(view.cut_px) / 2


def size_of(camera: pycolmap.Camera, view: LensView) -> tuple[int, int]:
    size = (camera.height, camera.width) if view.turns % 2 else (camera.width, camera.height)
    return round(view.scale * size[0] + view.cut_px[0]), round(view.scale * size[1] + view.cut_px[1])


def through(camera: pycolmap.Camera, view: LensView) -> pycolmap.Camera:
    matrix, offset = view.mapping(camera)
    width, height = size_of(camera, view)
    params = matrix @ camera.params + offset
    return pycolmap.Camera(
        camera_id=view.camera_id, model=camera.model_name, width=width, height=height, params=params
    )


@given(
    turns=st.integers(0, 3),
    scale=st.sampled_from([1.0, 0.5, 1 / 3, 2.0]),
    cut_px=st.sampled_from([(0.0, 0.0), (-80.0, 0.0), (0.0, -60.0), (0.0, 40.0)]),
    model=st.sampled_from(["SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "THIN_PRISM_FISHEYE"]),
    values=st.lists(st.floats(-1, 1), min_size=8, max_size=8),
)
def test_a_turned_camera_shows_each_point_where_the_turned_image_does(
    turns: int, scale: float, cut_px: tuple[float, float], model: str, values: list[float]
) -> None:
    camera = pycolmap.Camera.create_from_model_name(1, model, 900.0, 1024, 768)
    params = np.array(camera.params)
    params[list(camera.principal_point_idxs())] += 20 * np.array(values[:2])
    extra = list(camera.extra_params_idxs())
    params[extra] = 0.01 * np.resize(values, len(extra))
    if len(camera.focal_length_idxs()) == 2:
        params[0] *= 1.01
    camera.params = params.tolist()
    view = LensView(2, turns, scale, cut_px=cut_px)
    points = np.array([[0.1, 0.2, 1], [-0.3, 0.1, 1.2], [0, 0, 1], [0.25, -0.2, 0.9]])

    found = through(camera, view).img_from_cam(points @ np.linalg.matrix_power(QUARTER, turns).T)

    np.testing.assert_allclose(found, shown(camera, np.asarray(camera.img_from_cam(points)), view), atol=1e-8)


def taken_with(
    model: pycolmap.Reconstruction,
    cameras: Iterable[pycolmap.Camera],
    shot: Callable[[int, Array], tuple[int, Array, pycolmap.Rigid3d]],
) -> pycolmap.Reconstruction:
    """The model with other cameras.

    `shot` gives an image's camera, observations (N, 2) px, and turn, from its id and observations.
    """
    changed = pycolmap.Reconstruction()
    for camera in cameras:
        changed.add_camera_with_trivial_rig(camera)
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        camera_id, xy, turn = shot(image_id, np.array([point.xy for point in image.points2D]))
        changed.add_image_with_trivial_frame(
            pycolmap.Image(image.name, xy, camera_id, image_id), turn * image.cam_from_world()
        )
    for point_id, point in model.points3D.items():
        changed.add_point3D_with_id(point_id, pycolmap.Point3D(xyz=point.xyz, track=point.track))
    return changed


def with_views(model: pycolmap.Reconstruction, views: dict[int, LensView]) -> pycolmap.Reconstruction:
    """The model with some images turned or resized, by id; cameras are believed to be simple again."""
    simple = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", FOCAL, WIDTH, HEIGHT)
    different = sorted({LensView(1), *views.values()}, key=lambda one: one.camera_id)

    def shot(image_id: int, xy: Array) -> tuple[int, Array, pycolmap.Rigid3d]:
        view = views.get(image_id, LensView(1))
        turn = pycolmap.Rotation3d(np.linalg.matrix_power(QUARTER, view.turns))
        return view.camera_id, shown(model.camera(1), xy, view), pycolmap.Rigid3d(turn, np.zeros(3))

    return adjusted(taken_with(model, (through(simple, view) for view in different), shot))


def number(model: pycolmap.Reconstruction, every: int) -> list[int]:
    return sorted(model.reg_image_ids())[::every]


@pytest.mark.parametrize(
    "view", [LensView(2, 1), LensView(2, 3), LensView(2, 0, 0.5), LensView(2, cut_px=(0.0, -192.0))]
)
@seeds(0, 1)
def test_images_of_one_lens_determine_its_principal_point_together(view: LensView, seed: int) -> None:
    whole = finished(opencv(shift=SHIFT), seed=seed, num_images=8, num_points=250)
    model = with_views(whole, dict.fromkeys(number(whole, 2), view))

    richer = richer_cameras(model, adjustment(), RefineConfig(), fixed_cameras=frozenset())
    started = richer.started(model)
    done = adjusted_with(started, richer, adjustment())

    assert [[one.camera_id for one in views] for views in richer.lenses] == [[1, 2]]
    assert all("principal_point" in found.accepted for found in richer.selections.values())
    assert done is not None
    own, first = done.camera(2), done.camera(1)
    (tied,) = richer.lenses
    matrix, offset = tied[1].mapping(first)
    np.testing.assert_allclose(own.params, matrix @ first.params + offset, rtol=1e-4, atol=1e-4)
    assert abs(first.principal_point_x - (WIDTH / 2 + SHIFT[0])) < 2.5
    assert abs(first.principal_point_y - (HEIGHT / 2 + SHIFT[1])) < 2.5
    assert tied[1].turns == view.turns


@seeds(0, 1)
def test_few_photos_of_each_of_three_shapes_determine_it_all_at_once(seed: int) -> None:
    whole = finished(opencv(shift=SHIFT), seed=seed, num_images=9, num_points=250)
    wide, square = LensView(2, cut_px=(0.0, -192.0)), LensView(3, cut_px=(-256.0, 0.0))
    ids = number(whole, 1)
    model = with_views(whole, dict.fromkeys(ids[1::3], wide) | dict.fromkeys(ids[2::3], square))

    richer = richer_cameras(model, adjustment(), RefineConfig(), fixed_cameras=frozenset())

    assert [sorted(one.camera_id for one in views) for views in richer.lenses] == [[1, 2, 3]]
    assert all("principal_point" in found.accepted for found in richer.selections.values())


def test_cameras_of_one_lens_stay_tied_when_nothing_more_is_freed() -> None:
    """A second pass of the refinement asks again, of a model whose principal point is where it belongs."""
    whole = finished(opencv(shift=SHIFT), num_images=8, num_points=250)
    model = with_views(whole, dict.fromkeys(number(whole, 2), LensView(2, 1)))
    first = richer_cameras(model, adjustment(), RefineConfig(), fixed_cameras=frozenset())
    done = adjusted_with(first.started(model), first, adjustment())
    assert done is not None

    second = richer_cameras(
        done, adjustment(), RefineConfig(), fixed_cameras=frozenset(), lenses=first.lenses
    )
    again = adjusted_with(second.started(done), second, adjustment())

    assert tied_cameras(second.lenses) == {1, 2}
    assert not second.supported
    assert again is not None
    for image_id in done.reg_image_ids():
        before, after = (each.image(image_id).projection_center() for each in (done, again))
        assert np.linalg.norm(before - after) < 1e-3  # of a ring of radius 6


def test_cameras_of_one_lens_stay_tied_when_nothing_may_be_freed() -> None:
    whole = finished(opencv(shift=SHIFT), num_images=8, num_points=250)
    model = with_views(whole, dict.fromkeys(number(whole, 2), LensView(2, 1)))
    lenses = [[LensView(1), LensView(2, 1)]]
    held = RefineConfig(max_camera_model="SIMPLE_RADIAL", principal_point="never")

    richer = richer_cameras(model, adjustment(), held, fixed_cameras=frozenset(), lenses=lenses)

    assert tied_cameras(richer.lenses) == {1, 2}
    assert not richer.changed


def test_constant_cameras_of_one_lens_are_not_tied() -> None:
    """A residual that nothing can change would end the process."""
    whole = finished(opencv(shift=SHIFT), num_images=8, num_points=250)
    model = with_views(whole, dict.fromkeys(number(whole, 2), LensView(2, 1)))
    problem = pyceres.Problem()
    for camera in (model.camera(1), model.camera(2)):
        problem.add_parameter_block(camera.params, len(camera.params))
        problem.set_parameter_block_constant(camera.params)

    tie(problem, model.camera(1), model.camera(2), LensView(2, 1))

    assert problem.num_residual_blocks() == 0


def test_a_lens_ends_where_its_first_camera_has_no_images() -> None:
    whole = finished(opencv(shift=SHIFT), num_images=8, num_points=250)
    model = with_views(whole, dict.fromkeys(number(whole, 2), LensView(2, 1)))
    lenses = [[LensView(1), LensView(2, 1)]]
    for image_id in number(whole, 1):
        if model.image(image_id).camera_id == 1:
            model.deregister_frame(model.image(image_id).frame_id)

    richer = richer_cameras(model, adjustment(), RefineConfig(), fixed_cameras=frozenset(), lenses=lenses)

    assert not richer.lenses


def _tied_by_two_threads() -> None:
    whole = finished(opencv(shift=SHIFT), num_images=8, num_points=250)
    model = with_views(whole, dict.fromkeys(number(whole, 2), LensView(2, 1)))
    options = adjustment()
    options.ceres.solver_options.num_threads = 2
    options.ceres.min_num_residuals_for_cpu_multi_threading = 1
    richer = richer_cameras(model, options, RefineConfig(), fixed_cameras=frozenset())
    assert richer.lenses
    assert adjusted_with(richer.started(model), richer, options) is not None


def test_several_threads_adjust_cameras_of_one_lens() -> None:
    """In a process of its own, since one that waits for itself cannot be interrupted."""
    command = "from tests.mapping.test_shared_lens import _tied_by_two_threads as run; run()"

    subprocess.run([sys.executable, "-c", command], check=True, timeout=120, cwd=ROOT)


def test_two_lenses_of_one_field_of_view_stay_apart() -> None:
    """The principal point of every second image is as far below the centre as that of the others above it."""
    mixed = two_lenses(finished(opencv(shift=(9.0, 8.0)), num_images=16))

    richer = richer_cameras(mixed, adjustment(), RefineConfig(), fixed_cameras=frozenset())

    assert not richer.lenses


def two_lenses(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """Every second image of a second camera, with another principal point."""
    second = sorted(model.reg_image_ids())[1::2]

    def shot(image_id: int, xy: Array) -> tuple[int, Array, pycolmap.Rigid3d]:
        is_second = image_id in second
        return 1 + is_second, xy - (np.array([0.0, 16.0]) if is_second else 0), pycolmap.Rigid3d()

    cameras = (
        pycolmap.Camera.create_from_model_name(i, "SIMPLE_RADIAL", FOCAL, WIDTH, HEIGHT) for i in (1, 2)
    )
    return adjusted(taken_with(model, cameras, shot))


def crops(model: pycolmap.Reconstruction, *, of_one_size: bool) -> pycolmap.Reconstruction:
    """Every image of a camera of its own, with a principal point somewhere else."""
    shifts = np.random.default_rng(0).uniform(-30, 30, size=(model.num_images() + 1, 2))

    def camera(image_id: int) -> pycolmap.Camera:
        width = WIDTH if of_one_size else WIDTH + 40 * image_id
        params = [FOCAL, *(np.array([WIDTH, HEIGHT]) / 2 + shifts[image_id]), 0.02]
        return pycolmap.Camera(
            camera_id=image_id, model="SIMPLE_RADIAL", width=width, height=HEIGHT, params=params
        )

    def shot(image_id: int, xy: Array) -> tuple[int, Array, pycolmap.Rigid3d]:
        return image_id, xy + shifts[image_id], pycolmap.Rigid3d()

    return taken_with(model, map(camera, sorted(model.reg_image_ids())), shot)


@seeds(0, 1, 2)
def test_crops_of_one_size_keep_nearly_one_focal_length_and_their_own_principal_points(seed: int) -> None:
    points = 0.3 * cloud(30, np.random.default_rng(seed))  # so small that focal lengths are hardly determined
    whole = finished(opencv(), seed=seed, num_images=8, points=points)
    focal, centres = [], []
    for of_one_size in (True, False):
        model = crops(whole, of_one_size=of_one_size)
        richer = richer_cameras(
            model,
            adjustment(),
            RefineConfig(),
            fixed_cameras=frozenset(),
            cropped_cameras=frozenset(model.cameras),
        )
        done = adjusted_with(richer.started(model), richer, adjustment())
        assert done is not None
        focal.append([done.camera(i).mean_focal_length() for i in sorted(done.cameras)])
        centres.append(
            [
                (done.camera(i).principal_point_x, done.camera(i).principal_point_y)
                for i in sorted(done.cameras)
            ]
        )

    assert np.std(focal[0]) < 0.1 * np.std(focal[1])
    assert np.std(centres[0], axis=0).min() > 10


def test_cameras_of_other_shape_or_field_of_view_have_no_common_lens() -> None:
    first = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 1000, 1024, 768)

    def views(focal: float, width: int, height: int, model: str = "SIMPLE_RADIAL") -> list[LensView]:
        return possible_views(first, pycolmap.Camera.create_from_model_name(2, model, focal, width, height))

    assert [view.turns for view in views(1000, 1024, 768)] == [0, 2]
    assert [(view.turns, view.scale) for view in views(502, 384, 512)] == [(1, 0.5), (3, 0.5)]
    assert [view.zoom for view in views(1020, 1024, 768)] == [1.02, 1.02]
    assert [(view.turns, view.cut_px) for view in views(1000, 1024, 576)] == [(0, (0, -192)), (2, (0, -192))]
    cuts = [(-128, 0), (0, -128)] * 2
    assert [(view.scale, view.cut_px) for view in views(500, 384, 384)] == [(0.5, cut) for cut in cuts]
    assert not views(5000, 1024, 768)
    assert not views(1300, 1024, 576)
    assert not views(1000, 1024, 768, "RADIAL")
