"""A flight along one winding strip, whose model bends when only neighbours share points."""

import numpy as np
import pycolmap
from numpy.typing import NDArray


def strip(
    num_photos: int = 40, noise_px: float = 0.7, seed: int = 0
) -> tuple[pycolmap.Reconstruction, dict[str, NDArray[np.float64]]]:
    """A model of nadir photos 20 m apart and 60 m high over rough ground, exact poses, noisy observations.

    Returns the model and the true camera centres in metres, x along the strip and z up.
    """
    rng = np.random.default_rng(seed)
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 800, 1000, 750)
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    xyz = rng.uniform([-60, -70, 0], [20 * num_photos + 40, 70, 10], (80 * num_photos, 3))
    down = np.diag([1.0, -1.0, -1.0])
    tracks: list[list[tuple[int, int]]] = [[] for _ in xyz]
    for index in range(num_photos):
        centre = np.array([20.0 * index, 25 * np.sin(index / 4), 60 + rng.normal()])
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(down), -down @ centre)
        in_camera = pose * xyz
        uv = camera.img_from_cam(in_camera)
        seen = np.flatnonzero(
            (in_camera[:, 2] > 0) & (uv > 0).all(axis=1) & (uv[:, 0] < 1000) & (uv[:, 1] < 750)
        )
        image = pycolmap.Image(f"{index:03d}.jpg", camera_id=1, image_id=index + 1)
        image.points2D = pycolmap.Point2DList(
            [pycolmap.Point2D(uv[j] + rng.normal(size=2) * noise_px) for j in seen]
        )
        for place, j in enumerate(seen):
            tracks[j].append((index + 1, place))
        model.add_image_with_trivial_frame(image, pose)
    for point, elements in zip(xyz, tracks, strict=True):
        if len(elements) >= 2:
            track = pycolmap.Track()
            for element in elements:
                track.add_element(*element)
            model.add_point3D(point, track, np.zeros(3, np.uint8))
    return model, {image.name: image.projection_center() for image in model.images.values()}


def forget_scale_and_bend(model: pycolmap.Reconstruction) -> None:
    """Adjust without priors: noise bends the strip along what neighbours hardly tell."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
