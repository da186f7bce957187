"""Finished models of known scenes taken with known lenses, for the tests of what may be freed of a camera."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pycolmap

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.cameras.loss import is_robust, with_fitting_loss
from sfm.mapping.cameras.model_selection import TriedBlock
from sfm.mapping.cameras.richer_cameras import adjusted_with, richer_cameras
from sfm.mapping.scene.options import mapper_options

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT, FOCAL = 1024, 768, 1000.0
NOISE_PX = 0.4
RICH = (0.02, -0.08, 0.0012, -0.0008)
"""k1, k2, p1, p2"""
SHIFT = (9.0, -6.0)


def opencv(
    *, shift: tuple[float, float] = (0, 0), aspect: float = 0.0, distortion: Sequence[float] = (0.02, 0, 0, 0)
) -> pycolmap.Camera:
    """A camera with this offset of the principal point, fx / fy - 1, and k1, k2, p1, p2."""
    fx, fy = FOCAL * (1 + aspect / 2), FOCAL * (1 - aspect / 2)
    params = [fx, fy, WIDTH / 2 + shift[0], HEIGHT / 2 + shift[1], *distortion]
    return pycolmap.Camera(camera_id=1, model="OPENCV", width=WIDTH, height=HEIGHT, params=params)


def simple_radial() -> pycolmap.Camera:
    """What a run believes of a camera at first."""
    params = [FOCAL, WIDTH / 2, HEIGHT / 2, 0.02]
    return pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=WIDTH, height=HEIGHT, params=params)


def looking(centre: Array, target: Array, roll: float = 0.0) -> pycolmap.Rigid3d:
    """Pose of a camera that looks from one place to another, turned about its axis."""
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    rows = np.stack((x, np.cross(z, x), z))
    c, s = np.cos(roll), np.sin(roll)
    rows = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ rows
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rows), -rows @ centre)


def ring(num: int, rng: np.random.Generator) -> list[pycolmap.Rigid3d]:
    """Photos from an arc of 120 degrees about the origin, at several heights, held this way and that."""
    angles = np.linspace(-np.pi / 3, np.pi / 3, num)
    places = np.stack((6 * np.sin(angles), rng.uniform(-1.5, 1.5, num), -6 * np.cos(angles)), axis=1)
    rolls = np.where(np.arange(num) % 3 == 0, np.pi / 2, 0.0) + rng.normal(scale=0.05, size=num)
    return [looking(c, rng.normal(scale=0.3, size=3), roll) for c, roll in zip(places, rolls, strict=True)]


def cloud(num: int, rng: np.random.Generator) -> Array:
    """Points all through a ball of radius 2."""
    return np.asarray(rng.uniform(-2, 2, size=(num, 3)))


def photographed(
    cameras: Sequence[pycolmap.Camera],
    poses: Sequence[pycolmap.Rigid3d],
    points: Array,
    noise: Array,
    believed: pycolmap.Camera | None = None,
) -> pycolmap.Reconstruction:
    """The true poses and points, and what each photo saw of them through its own lens.

    Args:
        cameras: of each photo.
        poses: of each photo.
        points: (P, 3)
        noise: (N, P, 2) px
        believed: the camera that all photos are said to share; else `simple_radial`.
    """
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(believed or simple_radial())
    tracks: dict[int, list[pycolmap.TrackElement]] = {}
    for i, (camera, pose) in enumerate(zip(cameras, poses, strict=True)):
        xy = np.asarray(camera.img_from_cam(pose * points)) + noise[i]
        inside = np.isfinite(xy).all(axis=1) & ((xy > 0) & (xy < [WIDTH, HEIGHT])).all(axis=1)
        seen = np.flatnonzero(inside)
        image = pycolmap.Image(f"{i:02d}.jpg", xy[seen], 1, i + 1)
        model.add_image_with_trivial_frame(image, pose)
        for index, point in enumerate(seen):
            tracks.setdefault(int(point), []).append(pycolmap.TrackElement(i + 1, index))
    for point, elements in sorted(tracks.items()):
        if len(elements) >= 3:
            model.add_point3D(points[point], pycolmap.Track(elements), np.zeros(3, np.uint8))
    return model


def finished(
    camera: pycolmap.Camera,
    *,
    seed: int = 0,
    num_images: int = 12,
    num_points: int = 400,
    poses: Sequence[pycolmap.Rigid3d] | None = None,
    points: Array | None = None,
    believed: pycolmap.Camera | None = None,
) -> pycolmap.Reconstruction:
    """A model as it is before the last adjustment: all that the believed camera can do has been done."""
    rng = np.random.default_rng(seed)
    poses = ring(num_images, rng) if poses is None else poses
    points = cloud(num_points, rng) if points is None else points
    noise = rng.normal(scale=NOISE_PX, size=(len(poses), len(points), 2))
    return adjusted(photographed([camera] * len(poses), poses, points, noise, believed))


def adjusted(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model after bundle adjustment with the options of a run, in place."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(adjustment(), config, model).solve()
    model.update_point_3d_errors()
    return model


def adjustment() -> pycolmap.BundleAdjustmentOptions:
    """Options of the global adjustment."""
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)
    return options.global_ba


def freed(
    model: pycolmap.Reconstruction,
    refine: RefineConfig,
    *,
    fixed_cameras: set[int] | None = None,
    holds_focal: bool = False,
) -> tuple[pycolmap.Reconstruction, list[TriedBlock]]:
    """A model adjusted for the last time with the intrinsics that it supports, and what was tried."""
    options = adjustment()
    options.refine_focal_length = not holds_focal
    richer = richer_cameras(model, options, refine, fixed_cameras=fixed_cameras or set())
    started = richer.started(model)
    last = with_fitting_loss(options, started, refine.loss_function)
    done = adjusted_with(started, richer, last) if richer.changed or is_robust(last) else None
    return done or model, richer.tried(done or model, failed=done is None)
