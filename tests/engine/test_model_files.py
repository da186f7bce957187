"""Models on disk are read whole or refused at once."""

from __future__ import annotations

from pathlib import Path

import pycolmap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm.errors import InputError
from sfm.model_files import model_key, read_models, read_whole_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 5
    options.num_points3D = 40
    pycolmap.synthesize_dataset(options).write(folder)
    return folder


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_of_points_never_reaches_colmap(model: Path, share: float) -> None:
    whole = (model / "points3D.bin").read_bytes()
    (model / "points3D.bin").write_bytes(whole[: int(share * len(whole))])
    try:
        with pytest.raises(InputError, match=r"points3D.bin is (truncated|damaged)"):
            read_whole_model(model)
    finally:
        (model / "points3D.bin").write_bytes(whole)


def test_a_text_model_is_the_same_model(model: Path, tmp_path: Path) -> None:
    pycolmap.Reconstruction(model).write_text(tmp_path)

    (found,) = read_models(tmp_path)

    assert found.num_reg_images() == 5
    assert found.num_points3D() == pycolmap.Reconstruction(model).num_points3D()


def test_a_missing_file_is_named(model: Path, tmp_path: Path) -> None:
    for name in ("images.bin", "cameras.bin", "frames.bin", "rigs.bin"):
        (tmp_path / name).write_bytes((model / name).read_bytes())

    with pytest.raises(InputError, match=r"points3D.bin is missing"):
        read_whole_model(tmp_path)


def test_the_key_follows_the_content(model: Path, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    for folder in (same, other):
        folder.mkdir()
        for file in model.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    moved = pycolmap.Reconstruction(other)
    moved.transform(pycolmap.Sim3d(2.0, pycolmap.Rotation3d(), [0.0, 0.0, 0.0]))
    moved.write(other)

    assert model_key(same) == model_key(model) != model_key(other)
