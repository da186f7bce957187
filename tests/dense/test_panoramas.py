"""What the network's depth is asked for is flat."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config, RegisterConfig
from sfm.errors import InputError
from sfm.matching import BackendContext
from sfm.matching.dense.backend import Mast3rBackend
from sfm.matching.dense.inference.predictors import Loaded
from sfm.types import CameraSpec, Collection, Exif, Photo
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace
from tests.dense.test_retrieval_descriptors import Encoder, official_whitening


def panoramas(folder: Path, *names: str) -> Collection:
    photos = []
    for name in names:
        Image.fromarray(np.zeros((32, 64), np.uint8)).save(folder / name)
        photos.append(Photo(name, folder / name, folder / name, name, 64, 32, 1, 1, Exif()))
    camera = CameraSpec(1, "EQUIRECTANGULAR", 64, 32, (64.0, 32.0), has_prior_focal_length=True)
    return Collection(tuple(photos), {1: camera})


def backend(workspace: Workspace, config: Config) -> Mast3rBackend:
    context = BackendContext(workspace, config, 1, SilentProgress())
    return Mast3rBackend(context, Loaded(Encoder(official_whitening()), None, ""))


def test_panoramas_have_no_aligned_poses(tmp_path: Path) -> None:
    collection = panoramas(tmp_path, "a.png", "b.png")
    with Workspace(tmp_path / "out", source=tmp_path) as workspace:
        database = FeatureDatabase(workspace.database)

        assert backend(workspace, Config()).poses(collection, database) is None
        aligning = Config(register=RegisterConfig(mapper="alignment"))
        with pytest.raises(InputError, match=r"register.mapper=alignment needs flat photos, and a\.png"):
            backend(workspace, aligning).poses(collection, database)


def test_a_panorama_alone_is_refused(tmp_path: Path) -> None:
    collection = panoramas(tmp_path, "a.png")
    with (
        Workspace(tmp_path / "out", source=tmp_path) as workspace,
        pytest.raises(InputError, match=r"a scene of one photo needs flat photos, and a\.png"),
    ):
        backend(workspace, Config()).posed_alone(collection)
