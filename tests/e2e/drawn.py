"""Photos drawn from COLMAP's synthetic scenes, whose poses are known and which SIFT can match."""

from pathlib import Path

import pycolmap


def draw_photos(
    folder: Path, *, num_frames: int, num_cameras: int = 1, seed: int = 1
) -> pycolmap.Reconstruction:
    """Photos of 640 x 480 px in `folder`; the scene that they show."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, num_cameras, num_frames
    options.num_points3D, options.camera_width, options.camera_height = 250, 640, 480
    options.camera_model_id = pycolmap.CameraModelId.SIMPLE_RADIAL
    options.camera_params = [700.0, 320.0, 240.0, 0.0]
    options.sensor_from_rig_translation_stddev, options.sensor_from_rig_rotation_stddev = 0.1, 3
    truth = pycolmap.synthesize_dataset(options)
    folder.mkdir(parents=True)
    pycolmap.synthesize_images(pycolmap.SyntheticImageOptions(), truth, folder)
    return truth
