"""What tests of clusters, and of parts at a wrong place, share."""

import pycolmap
import pytest

from . import synthetic
from .chain import make_chain
from .misplaced import NUM
from .running import run


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    """Photos of which each is paired with the next five; not to be changed."""
    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> tuple[synthetic.Scene, pycolmap.Reconstruction]:
    """A scene as `synthesize` makes them, and its model; not to be changed."""
    scene = synthetic.synthesize(tmp_path_factory.mktemp("ring") / "database.db")
    (model,) = run(scene.database).models
    return scene, model


@pytest.fixture(scope="session")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> tuple[synthetic.Scene, pycolmap.Reconstruction]:
    """A scene and its model, of which `misplaced` makes wrong ones; not to be changed."""
    scene = synthetic.synthesize(tmp_path_factory.mktemp("scene") / "all.db", num_images=NUM, num_points=800)
    (model,) = run(scene.database).models
    return scene, model
