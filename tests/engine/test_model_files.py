"""Models on disk are read whole or refused at once."""

import shutil
import struct
from pathlib import Path

import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.colmap.model_files import model_key, read_models, read_whole_model
from sfm.errors import InputError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 5
    options.num_points3D = 40
    pycolmap.synthesize_dataset(options).write(folder)
    return folder


@given(share=st.floats(0, 0.999))
def test_a_truncated_file_of_points_never_reaches_colmap(model: Path, share: float) -> None:
    whole = (model / "points3D.bin").read_bytes()
    (model / "points3D.bin").write_bytes(whole[: int(share * len(whole))])
    try:
        with pytest.raises(InputError, match=r"points3D.bin is (truncated|damaged)"):
            read_whole_model(model)
    finally:
        (model / "points3D.bin").write_bytes(whole)


@pytest.mark.parametrize("name", ["cameras", "images", "points3D", "rigs", "frames"])
def test_no_truncated_file_reaches_colmap(model: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    whole = (copy / f"{name}.bin").read_bytes()
    for size in sorted({0, 7, 8, 9, *range(10, len(whole), max(len(whole) // 40, 1)), len(whole) - 1}):
        (copy / f"{name}.bin").write_bytes(whole[:size])

        with pytest.raises(InputError, match=rf"{name}\.bin is truncated"):
            read_whole_model(copy)


CONTRADICTIONS = {
    "a rig's camera": ("rigs.bin", 8 + 12, "<I", 77, "Camera 77 from rig 1 not found"),
    "a frame's rig": ("frames.bin", 8 + 4, "<I", 77, "Rig with ID 77 does not exist"),
    "a frame's image": ("frames.bin", 8 + 76, "<Q", 77, "names one that is missing"),
    "an image's camera": ("images.bin", 8 + 60, "<I", 77, "Image 1 does not exist in frame 1"),
    "an image's id": ("images.bin", 8, "<I", 2, "is seen by image 1, which is missing"),
    "a frame's turn": ("frames.bin", 8 + 8, "<d", 50.0, "has a quaternion of length"),
    "a point's image": ("points3D.bin", 8 + 51, "<I", 77, "is seen by image 77, which is missing"),
    "a point's keypoint": ("points3D.bin", 8 + 55, "<I", 7777, "contradict each other"),
    "a point's id": ("points3D.bin", 8, "<Q", 7777, "contradict each other"),
    "a point's place": ("points3D.bin", 8 + 8, "<d", float("nan"), "at a place that is not finite"),
    "a camera's model": ("cameras.bin", 8 + 4, "<i", 99, "no camera model of number 99"),
    "a camera's focal length": ("cameras.bin", 8 + 24, "<d", float("inf"), "must be numbers, finite ones"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_model_that_contradicts_itself_is_refused(model: Path, tmp_path: Path, case: str) -> None:
    name, at, layout, value, message = CONTRADICTIONS[case]
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    data = bytearray((copy / name).read_bytes())
    struct.pack_into(layout, data, at, value)
    (copy / name).write_bytes(data)

    with pytest.raises(InputError, match=message):
        read_whole_model(copy)


def test_a_model_of_three_files_is_read(model: Path, tmp_path: Path) -> None:
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        shutil.copyfile(model / name, tmp_path / name)

    assert read_whole_model(tmp_path).num_reg_images() == 5


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
