"""A collection of photos that is not whole is refused with one message that names file and fault."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from photo_sets import load_scene

from sfm.errors import InputError

from . import fabricate
from .damage import Damage, change, change_line, cut, refused

MODEL = Path("sparse") / "0"
COLMAP: Damage = {
    "no poses": (lambda f: (f / MODEL / "images.bin").unlink(), r"sparse/0 holds no COLMAP model"),
    "no cameras": (
        lambda f: (f / MODEL / "cameras.bin").unlink(),
        r"sparse/0 has neither cameras\.bin nor cameras\.txt",
    ),
    "truncated poses": (lambda f: cut(f / MODEL / "images.bin", 100), r"images\.bin is (truncated|damaged)"),
    "truncated cameras": (lambda f: cut(f / MODEL / "cameras.bin", 50), r"cameras\.bin is truncated"),
    "empty cameras": (lambda f: cut(f / MODEL / "cameras.bin", 0), r"cameras\.bin is truncated"),
    "photo missing": (
        lambda f: (f / "images" / "_DSC8603.JPG").unlink(),
        r"_DSC8603\.JPG is missing: .*sparse/0 knows it",
    ),
    "no photos": (lambda f: (f / "images").rename(f / "photos"), r"images is missing"),
}


@pytest.mark.parametrize("case", COLMAP)
def test_colmap_models(case, tmp_path):
    made = fabricate.colmap_binary(tmp_path)
    damage, message = COLMAP[case]
    damage(made.folder)

    refused("mipnerf360:mine", made, message)


INTERNET: Damage = {
    "no list": (lambda f: (f / "list.txt").unlink(), r"list\.txt is missing"),
    "no bundle": (lambda f: (f / "gt_bundle.out").unlink(), r"gt_bundle\.out is missing"),
    "no Bundler file": (
        lambda f: change_line(f / "gt_bundle.out", 0, "8 1"),
        r"gt_bundle\.out is no Bundler file",
    ),
    "wrong count": (
        lambda f: change_line(f / "list.txt", 7, None),
        r"gt_bundle\.out has 8 cameras and list\.txt 7 photos",
    ),
    "truncated": (
        lambda f: (f / "gt_bundle.out").write_text(
            "\n".join((f / "gt_bundle.out").read_text().splitlines()[:30])
        ),
        r"gt_bundle\.out is truncated: it announces 8 cameras",
    ),
    "NaN": (
        lambda f: change_line(f / "gt_bundle.out", 6, "nan 1 2"),
        r"gt_bundle\.out:7: a translation must be finite",
    ),
    "no rotation": (
        lambda f: change_line(f / "gt_bundle.out", 4, "1 2 3"),
        r"gt_bundle\.out:3: its matrix is not a rotation",
    ),
    "index that is none": (
        lambda f: change_line(f / "cc.txt", 3, "99"),
        r"cc\.txt:4: list\.txt has no photo 99",
    ),
    "photo missing": (
        lambda f: (f / "images" / "004_flickr.jpg").unlink(),
        r"004_flickr\.jpg is missing: .*gt_bundle\.out knows it",
    ),
    "photo asked for missing": (
        lambda f: (f / "images" / "002_flickr.jpg").unlink(),
        r"002_flickr\.jpg is missing: .*list\.txt knows it",
    ),
    "unreadable photo": (
        lambda f: (f / "images" / "003_flickr.jpg").write_bytes(b"no photo"),
        r"003_flickr\.jpg is not a readable photo",
    ),
}


@pytest.mark.parametrize("case", INTERNET)
def test_internet_collections(case, tmp_path):
    made = fabricate.internet(tmp_path)
    damage, message = INTERNET[case]
    damage(made.folder)

    refused("1dsfm:Alamo", made, message)


def changed_frame(**entries) -> Callable[[Path], object]:
    """Damage to the fourth frame's viewpoint."""

    def damage(folder: Path) -> None:
        file = folder.parent / "frame_annotations.jgz"
        frames = json.loads(gzip.decompress(file.read_bytes()))
        frames[3]["viewpoint"].update(entries)
        file.write_bytes(gzip.compress(json.dumps(frames).encode()))

    return damage


CO3D: Damage = {
    "no annotations": (
        lambda f: (f.parent / "frame_annotations.jgz").unlink(),
        r"frame_annotations\.jgz is missing",
    ),
    "truncated": (
        lambda f: cut(f.parent / "frame_annotations.jgz", 200),
        r"frame_annotations\.jgz is not a readable gzipped JSON file",
    ),
    "another document": (
        lambda f: (f.parent / "frame_annotations.jgz").write_bytes(gzip.compress(b"{}")),
        r"frame_annotations\.jgz: expected a list of frames",
    ),
    "no rotation": (changed_frame(R=[[1, 0, 0], [0, 1, 0], [0, 0, 2]]), r"frame 3 of .* is not a rotation"),
    "short rotation": (changed_frame(R=[[1, 0, 0]]), r"jgz: frame 3 of .* is malformed"),
    "NaN": (changed_frame(T=[0, float("nan"), 0]), r"jgz: frame 3 of .*: its T is not finite"),
    "no focal length": (changed_frame(focal_length=None), r"jgz: frame 3 of "),
    "photo missing": (
        lambda f: (f / "images" / "frame000004.jpg").unlink(),
        r"frame000004\.jpg is missing: .*frame_annotations\.jgz knows it",
    ),
}


@pytest.mark.parametrize("case", CO3D)
def test_co3d(case, tmp_path):
    made = fabricate.co3d(tmp_path)
    damage, message = CO3D[case]
    damage(made.folder)

    refused(f"co3d:{made.scene}", made, message)


def test_a_sequence_of_co3d_that_is_not_annotated_is_refused(tmp_path):
    made = fabricate.co3d(tmp_path)
    made.folder.rename(made.folder.with_name("other"))

    refused("co3d:apple/other", made, r"frame_annotations\.jgz has no frames of other")


CLIP = Path("test") / "000c3ab189999a83.txt"
REALESTATE: Damage = {
    "no camera file": (lambda r: (r / CLIP).unlink(), r"000c3ab189999a83\.txt is missing"),
    "short line": (lambda r: change(r / CLIP, " 0.0 0.0 ", " "), r"83\.txt:2: expected 19 numbers"),
    "NaN": (lambda r: change(r / CLIP, "0.5 0.75", "nan 0.75"), r"83\.txt:2: .* must be finite"),
    "frame that the camera file lacks": (
        lambda r: change_line(r / CLIP, 1, None),
        r"45979267\.png: .*83\.txt has no frame of this timestamp",
    ),
    "no frames": (
        lambda r: [path.unlink() for path in (r / "frames" / "test" / CLIP.stem).iterdir()],
        r"000c3ab189999a83 holds no photos",
    ),
    "unreadable frame": (
        lambda r: (r / "frames" / "test" / CLIP.stem / "45979267.png").write_bytes(b"no photo"),
        r"45979267\.png is not a readable photo",
    ),
}


@pytest.mark.parametrize("case", REALESTATE)
def test_realestate10k(case, tmp_path):
    made = fabricate.realestate10k(tmp_path)
    damage, message = REALESTATE[case]
    damage(tmp_path / "realestate10k")

    refused(f"realestate10k:{made.scene}", made, message)


def test_what_is_not_there_is_refused_with_where_to_get_it(tmp_path):
    with pytest.raises(InputError, match="eth3d is missing") as caught:
        load_scene("eth3d:pipes", tmp_path)
    assert "eth3d.net" in caught.value.hint

    fabricate.eth3d(tmp_path)
    with pytest.raises(InputError, match=r"eth3d/office is missing"):
        load_scene("eth3d:office", tmp_path)
    for name in ("kitti:00", "eth3d", "eth3d:"):
        with pytest.raises(InputError, match="no dataset scene"):
            load_scene(name, tmp_path)
