"""Truth that ends before its photos do is refused: nobody scores the rest of a scene without a word."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from photo_sets import load_scene

from sfm.errors import InputError
from tests.tools import fabricate


def without_lines(log: Path, first: int, last: int | None) -> None:
    lines = log.read_text().splitlines(keepends=True)
    del lines[first:last]
    log.write_text("".join(lines))


@pytest.mark.parametrize(
    ("first", "last", "named"),
    [(500, None, r"000101\.jpg, 000102\.jpg, 000103\.jpg \(and 48 more\)"), (10, 15, r"000003\.jpg")],
)
def test_a_log_that_lacks_whole_poses(first, last, named, tmp_path):
    made = fabricate.tanks_and_temples(tmp_path)
    without_lines(made.folder.parent / "Horse_COLMAP_SfM.log", first, last)

    with pytest.raises(InputError, match=rf"Horse: {named} has no pose in .*Horse_COLMAP_SfM\.log"):
        load_scene("tanks_and_temples:Horse", tmp_path)


def test_a_log_and_photos_that_fit_but_are_other_than_the_list_says(tmp_path):
    made = fabricate.tanks_and_temples(tmp_path, count=150)

    with pytest.raises(InputError, match=r"Horse has 150 photos where scenes\.yaml lists 151"):
        load_scene(f"tanks_and_temples:{made.scene}", tmp_path)


def test_annotations_that_lack_frames(tmp_path):
    made = fabricate.co3d(tmp_path)
    file = made.folder.parent / "frame_annotations.jgz"
    frames = json.loads(gzip.decompress(file.read_bytes()))
    file.write_bytes(gzip.compress(json.dumps(frames[:9]).encode()))

    with pytest.raises(InputError, match=r"frame000010\.jpg, .* \(and 12 more\) has no pose in .*\.jgz"):
        load_scene(f"co3d:{made.scene}@seed0", tmp_path)
