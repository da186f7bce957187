"""Names in a model that lead elsewhere: nothing is read, written or moved there."""

from __future__ import annotations

from pathlib import Path

import pycolmap
import pytest

from sfm.errors import InputError
from sfm.exports import export

LEADING_OUT = ["{photos}/{name}", "../photos/{name}", "sub/../../photos/{name}", r"..\photos\{name}"]


def _renamed(tmp_path: Path, make_scene, form: str) -> Path:
    """A COLMAP project whose photos lie in `photos`, beside it, under names that say so."""
    out = tmp_path / "out"
    make_scene(out)
    (out / "images").rename(tmp_path / "photos")
    (out / "images").mkdir()
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    for image in model.images.values():
        image.name = form.format(photos=tmp_path / "photos", name=image.name)
    model.write(out / "sparse" / "0")
    return out


def _state(folder: Path) -> dict[str, tuple[bytes, int, bool]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns, path.is_symlink())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("form", LEADING_OUT)
@pytest.mark.parametrize("to", ["3dgs", "nerfstudio"])
def test_originals_stay_and_the_name_is_told(tmp_path, make_scene, to, form):
    out = _renamed(tmp_path, make_scene, form)
    before = _state(tmp_path / "photos")

    with pytest.raises(InputError, match="cannot be used as the name of a photo") as caught:
        export(out, to=to)

    assert "photos" in str(caught.value)
    assert "relative to the photo folder" in caught.value.hint
    assert _state(tmp_path / "photos") == before
    assert not (out / "export" / to).exists()


@pytest.mark.parametrize("to", ["txt", "ply"])
def test_an_export_without_photos_goes_on(tmp_path, make_scene, to):
    out = _renamed(tmp_path, make_scene, LEADING_OUT[0])

    assert export(out, to=to).is_dir()


@pytest.mark.parametrize("camera_model", ["SIMPLE_RADIAL", "PINHOLE"])
def test_photos_behind_links_are_read_through_them_and_stay(tmp_path, make_scene, camera_model):
    params = (400.0, 160.0, 120.0, 0.05) if camera_model == "SIMPLE_RADIAL" else (400.0, 400.0, 160.0, 120.0)
    out, photos = tmp_path / "out", tmp_path / "photos"
    model = make_scene(out, camera_model=camera_model, params=params)
    (out / "images").rename(photos)
    (out / "images").mkdir()
    for image in model.images.values():
        (out / "images" / image.name).symlink_to(photos / image.name)
    before = _state(photos)

    folder = export(out, to="3dgs")

    assert _state(photos) == before
    assert len(list((folder / "images").iterdir())) == len(before)
    for path in (folder / "images").iterdir():
        assert not path.is_symlink()
        assert path.stat().st_nlink == 1
