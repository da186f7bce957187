"""Random trajectories and models of COLMAP's synthetic scenes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pycolmap
import pytest

MakePoses = Callable[..., dict[str, pycolmap.Rigid3d]]


@pytest.fixture
def make_poses() -> MakePoses:
    """A function that makes poses `p0.jpg`, `p1.jpg`, … at random places with random rotations."""

    def make(count: int, seed: int = 0) -> dict[str, pycolmap.Rigid3d]:
        rng = np.random.default_rng(seed)
        poses = {}
        for i in range(count):
            quaternion = rng.normal(size=4)
            rotation = pycolmap.Rotation3d(quaternion / np.linalg.norm(quaternion))
            poses[f"p{i}.jpg"] = pycolmap.Rigid3d(rotation, rng.normal(size=3))
        return poses

    return make


@pytest.fixture
def transformed() -> Callable[[Mapping[str, pycolmap.Rigid3d], pycolmap.Sim3d], dict[str, pycolmap.Rigid3d]]:
    """A function that expresses poses in another world, which a similarity leads to."""

    def transform(
        poses: Mapping[str, pycolmap.Rigid3d], new_from_old: pycolmap.Sim3d
    ) -> dict[str, pycolmap.Rigid3d]:
        return {
            name: pycolmap.Rigid3d(
                pose.rotation * new_from_old.rotation.inverse(),
                new_from_old.scale * pose.translation
                - (pose.rotation * new_from_old.rotation.inverse()).matrix() @ new_from_old.translation,
            )
            for name, pose in poses.items()
        }

    return transform


@pytest.fixture(scope="session")
def model() -> pycolmap.Reconstruction:
    """A model of eight images."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs = 8
    options.num_cameras_per_rig = 1
    options.num_frames_per_rig = 1
    options.num_points3D = 60
    pycolmap.set_random_seed(3)
    return pycolmap.synthesize_dataset(options)


@pytest.fixture
def model_folder(model: pycolmap.Reconstruction, tmp_path: Path) -> Path:
    """The model on disk, binary."""
    folder = tmp_path / "model"
    folder.mkdir()
    model.write_binary(folder)
    return folder
