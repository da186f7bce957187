"""Names of exported photos: plain, unique, told in markers, and never those of foreign files."""

import json
import re
from pathlib import Path

import pycolmap
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.alignment import align
from sfm.colmap.model_files import read_whole_model
from sfm.colmap.model_poses import read_poses
from sfm.errors import InputError
from sfm.exports.exporting import export
from sfm.exports.names import flat_names


def test_folders_dots_and_spaces_are_flattened():
    names = flat_names(["a/b c.v1.JPG", "plain.jpeg", "scan.tif"])

    assert names == {"a/b c.v1.JPG": "a__b_c_v1.jpg", "plain.jpeg": "plain.jpg", "scan.tif": "scan.png"}


def test_overlong_names_are_cut_and_stay_apart():
    folder = "/".join(["a long name of a folder" * 8] * 3)

    flat = flat_names([f"{folder}/{number}.jpg" for number in range(3)])

    assert len(set(flat.values())) == 3
    assert all(len(name) <= 210 and name.startswith("a_long_name") for name in flat.values())
    assert flat == flat_names([f"{folder}/{number}.jpg" for number in range(3)])


@given(st.sets(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)))
def test_every_name_is_plain_and_unique_up_to_its_first_dot(names):
    flat = flat_names(names)

    assert flat.keys() == names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.(jpg|png)", name) for name in flat.values())
    assert len({name.split(".")[0].casefold() for name in flat.values()}) == len(names)


NAMES = {1: "day 1/a b.png", 2: "day 1/a c.png", 3: "day%201/a b.png", 4: "plain.png"}


def test_colmap_reads_every_name_and_the_marker_says_which_photo_it_is(tmp_path, make_scene, caplog):
    make_scene(tmp_path, rename=NAMES)

    folder = export(tmp_path, to="txt")

    read = pycolmap.Reconstruction()
    read.read_text(folder)
    renamed = json.loads((folder / "loopsfm_export.json").read_text())["photos"]
    names = {i: renamed.get(image.name, image.name) for i, image in read.images.items()}
    assert names == NAMES
    assert len({image.name for image in read.images.values()}) == 4
    assert not any(" " in image.name for image in read.images.values())
    assert "blanks in 3 names are written as %20" in caplog.text


def test_we_read_our_own_text_with_the_photos_names(tmp_path, make_scene):
    make_scene(tmp_path, rename=NAMES)

    folder = export(tmp_path, to="txt")

    assert {i: image.name for i, image in read_whole_model(folder).images.items()} == NAMES
    assert set(read_poses(folder)) == set(NAMES.values())


@pytest.mark.parametrize("content", ["", "[]", '{"photos": 3}', '{"photos": {"a": {}}}', "[" * 9999])
def test_a_damaged_marker_leaves_the_names_as_written(tmp_path, make_scene, content):
    model = make_scene(tmp_path)
    folder = export(tmp_path, to="txt")
    (folder / "loopsfm_export.json").write_text(content)

    assert set(read_poses(folder)) == {image.name for image in model.images.values()}


def test_names_without_blanks_are_written_as_they_are(tmp_path, make_scene, caplog):
    model = make_scene(tmp_path)

    folder = export(tmp_path, to="txt")

    read = pycolmap.Reconstruction()
    read.read_text(folder)
    assert {image.name for image in read.images.values()} == {image.name for image in model.images.values()}
    assert json.loads((folder / "loopsfm_export.json").read_text())["photos"] == {}
    assert caplog.text == ""


@pytest.mark.parametrize("blank", [" ", "  ", "\t"])
def test_a_text_model_of_colmaps_is_read_with_its_blanks(tmp_path, make_scene, blank):
    model = make_scene(tmp_path)
    for image in model.images.values():
        image.name = f"day 1/a{blank}{image.name}"
    (tmp_path / "text").mkdir()
    model.write_text(tmp_path / "text")

    read = read_whole_model(tmp_path / "text")
    aligned = align(tmp_path / "text", tmp_path / "text", output=tmp_path / "aligned")

    assert {i: image.name for i, image in read.images.items()} == {
        i: image.name for i, image in model.images.items()
    }
    assert aligned.names == tuple(sorted(image.name for image in model.images.values()))


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
