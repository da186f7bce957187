"""Kept rounds of the closed loop are taken only where everything that their models depend on is as it was."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.scene_graph import SceneGraph
from sfm.config.colmap import GROUPS
from sfm.config.options import INTERNAL, Option, flat_values, from_flat, internal_tree, schema_tree
from sfm.config.schema import Config
from sfm.matching import Backend, BackendContext
from sfm.matching.aliked.again import AlikedAgain
from sfm.matching.dense.backend import Mast3rBackend
from sfm.matching.dense.inference.predictors import Loaded
from sfm.matching.sift import SiftBackend
from sfm.stages.session import SILENT, PhotoSession
from sfm.stages.stages import _loop_key
from sfm.types import CameraSpec, Collection, Exif, Photo
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace
from tests.dense.test_retrieval_descriptors import Encoder, official_whitening

OPTIONS = (*schema_tree().options(), *internal_tree().options())
WITHOUT_EFFECT = {
    "photos": "a place",
    "output": "a place",
    "backend": "opened before; see the test below",
    "run.threads": "results may differ by rounding alone",
    "images.camera_model": "in the collection",
    "images.camera_params": "in the collection",
    "images.cameras_file": "in the collection",
    "images.rig_config": "in the collection",
    "images.default_focal_factor": "in the collection",
    "images.masks": "in the collection",
    "images.thumbnail_size": "for the report",
    "aliked.device": "results may differ by rounding alone",
    "mast3r.weights": "in the network's own key",
    "mast3r.weights_dir": "in the network's own key",
    "mast3r.precision": "in the network's own key",
    "mast3r.oracle": "in the network's own key",
    "mast3r.oracle_noise": "in the network's own key",
    "mast3r.oracle_wrong_matches": "in the network's own key",
    "mast3r.oracle_sky": "in the network's own key",
    "mast3r.device": "results may differ by rounding alone",
    "mast3r.batch_size": "speed and memory",
    "mast3r.compile": "speed",
}
ENCODER = Encoder(official_whitening())
AFTER_THE_LOOP = ("georeference.", "export.")


def _has_effect(option: Option) -> bool:
    name = option.name.removeprefix(f"{INTERNAL}.")
    return name not in WITHOUT_EFFECT and not name.startswith(AFTER_THE_LOOP)


def _another(option: Option) -> object:
    value = option.default
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return next((choice for choice in option.choices if choice != value), "other" if option.is_text else 7)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    photos, mask = [], tmp_path / "mask.png"
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save(mask)
    for name in ("a.png", "b.png"):
        path = tmp_path / name
        Image.new("RGB", (64, 48)).save(path)
        photos.append(Photo(name, path, path, f"sha-{name}", 64, 48, 1, 1, Exif(), mask))
    camera = CameraSpec(1, "SIMPLE_RADIAL", 64, 48, (70.0, 32.0, 24.0, 0.0), False)
    return Collection(tuple(photos), {1: camera})


def _keys(config: Config, collection: Collection, out: Path) -> tuple[str, ...]:
    """The key of every matcher."""
    with Workspace(out, source=out.parent) as workspace:
        context = BackendContext(workspace, config, 1, SilentProgress())
        backends: list[Backend] = [
            SiftBackend(context),
            SiftBackend(context, stronger=AlikedAgain(context)),
            Mast3rBackend(context, Loaded(ENCODER, None, "")),
        ]
        return tuple(
            _loop_key(
                PhotoSession(workspace, config, SILENT, backend=backend),
                collection,
                SceneGraph(collection.names, {}),
                None,
                0,
            )
            for backend in backends
        )


def test_each_reason_names_an_option() -> None:
    names = {option.name.removeprefix(f"{INTERNAL}.") for option in OPTIONS}

    assert set(WITHOUT_EFFECT) <= names


def test_matchers_have_keys_of_their_own(collection: Collection, tmp_path: Path) -> None:
    keys = _keys(Config(), collection, tmp_path / "out")

    assert len(set(keys)) == 3
    assert keys == _keys(Config(), collection, tmp_path / "out")


@pytest.mark.parametrize("option", [*filter(_has_effect, OPTIONS)], ids=lambda option: option.name)
def test_an_option_that_changes_models_changes_the_key(
    option: Option, collection: Collection, tmp_path: Path
) -> None:
    changed = from_flat(flat_values(Config()) | {option.name: _another(option)})

    assert _keys(changed, collection, tmp_path / "out") != _keys(Config(), collection, tmp_path / "out")


@pytest.mark.parametrize("section", sorted({group.section for group in GROUPS.values()}))
def test_options_of_pycolmap_change_the_key(section: str, collection: Collection, tmp_path: Path) -> None:
    part = getattr(Config(), section)
    name = next(name for name, group in GROUPS.items() if group.section == section)
    values = dataclasses.replace(part.colmap, values=((f"{name}.any", 1),))
    changed = dataclasses.replace(Config(), **{section: dataclasses.replace(part, colmap=values)})

    assert _keys(changed, collection, tmp_path / "out") != _keys(Config(), collection, tmp_path / "out")


def test_another_mask_changes_the_key(collection: Collection, tmp_path: Path) -> None:
    before = _keys(Config(), collection, tmp_path / "out")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "mask.png")

    assert not set(before) & set(_keys(Config(), collection, tmp_path / "out"))


def test_keypoints_that_snap_to_sift_depend_on_its_options(collection: Collection, tmp_path: Path) -> None:
    snapping = {**flat_values(Config()), "mast3r.snap_to_sift": True}
    fewer = snapping | {"sift.max_num_features": 100}

    *_, before = _keys(from_flat(snapping), collection, tmp_path / "out")
    *_, after = _keys(from_flat(fewer), collection, tmp_path / "out")

    assert before != after
