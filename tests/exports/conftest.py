"""Small finished workspaces, made from COLMAP's synthetic scenes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pycolmap
import pytest

from tests.exports.rendered import room

MakeScene = Callable[..., pycolmap.Reconstruction]


@pytest.fixture
def make_scene() -> MakeScene:
    """Makes a model of rendered images, written as a workspace's `images/` and `sparse/0`."""
    return synthesize


def synthesize(
    out: Path,
    *,
    camera_model: str = "SIMPLE_RADIAL",
    params: tuple[float, ...] = (400.0, 160.0, 120.0, 0.05),
    num_images: int = 4,
    rename: Mapping[int, str] | None = None,
) -> pycolmap.Reconstruction:
    """A scene of `num_images` images of 320 x 240 px; `rename` maps image ids to names."""
    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, num_images, 60
    options.camera_width, options.camera_height = 320, 240
    options.camera_model_id = getattr(pycolmap.CameraModelId, camera_model)
    options.camera_params = list(params)
    model = pycolmap.synthesize_dataset(options)
    for image_id, name in (rename or {}).items():
        model.image(image_id).name = name
    for image in model.images.values():
        (out / "images" / image.name).parent.mkdir(parents=True, exist_ok=True)
    pycolmap.synthesize_images(pycolmap.SyntheticImageOptions(), model, out / "images")
    model.extract_colors_for_all_images(out / "images")
    (out / "sparse" / "0").mkdir(parents=True)
    model.write(out / "sparse" / "0")
    return model


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered room with its depth."""
    folder = tmp_path_factory.mktemp("room")
    room(folder)
    return folder
