"""The test sequences of CO3D are those of the published split, and nobody averages over fewer categories."""

from __future__ import annotations

import gzip
import json

import pytest
from photo_sets import scene_names
from photo_sets.co3d_split import CATEGORIES

from sfm.errors import InputError


@pytest.fixture
def root(tmp_path):
    """The lists of all categories; only `book` (unseen) has sequences, one for each reason to stay out."""
    for category in (*CATEGORIES["seen"], *CATEGORIES["unseen"]):
        write_lists(tmp_path / "co3d" / category, [], {})
    frames = [("good", 50), ("short", 49), ("blurred", 80), ("also", 202)]
    listed = [[name, i, f"book/{name}/images/{i}.jpg"] for name, count in frames for i in range(count)]
    quality = {"good": 0.51, "short": 0.9, "blurred": 0.5, "also": 2.0, "train": 2.0}
    write_lists(tmp_path / "co3d" / "book", listed, quality)
    return tmp_path


def write_lists(folder, test, quality):
    (folder / "set_lists").mkdir(parents=True, exist_ok=True)
    lists = {"train": [["train", 0, "x.jpg"]] * 60, "val": [], "test": test}
    (folder / "set_lists" / "set_lists_fewview_dev.json").write_text(json.dumps(lists))
    entries = [{"sequence_name": name, "viewpoint_quality_score": score} for name, score in quality.items()]
    (folder / "sequence_annotations.jgz").write_bytes(gzip.compress(json.dumps(entries).encode()))


def test_the_split_has_41_and_10_categories():
    assert [len(set(CATEGORIES[group])) for group in ("seen", "unseen")] == [41, 10]
    assert not set(CATEGORIES["seen"]) & set(CATEGORIES["unseen"])


def test_test_sequences_are_those_with_enough_frames_and_good_viewpoints(root):
    assert scene_names("co3d:unseen@seed1", root) == ["co3d:book/also@seed1", "co3d:book/good@seed1"]


def test_a_missing_category_is_named(root):
    (root / "co3d" / "tv").rename(root / "tv")

    with pytest.raises(InputError, match="lacks 1 of the 41 categories seen: tv"):
        scene_names("co3d:seen", root)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("set_lists/set_lists_fewview_dev.json", None, "is missing"),
        ("set_lists/set_lists_fewview_dev.json", b"[1]", "is no set list of CO3D with 'test'"),
        ("set_lists/set_lists_fewview_dev.json", b'{"test": 3}', "expected 'test' to be a list"),
        ("sequence_annotations.jgz", None, "is missing"),
        ("sequence_annotations.jgz", gzip.compress(b"[{}]", mtime=0), "a sequence is malformed"),
        ("sequence_annotations.jgz", b"{}", "is not a readable gzipped JSON file"),
    ],
)
def test_malformed_lists_are_refused_by_name(root, file, content, message):
    damaged = root / "co3d" / "book" / file
    if content is None:
        damaged.unlink()
    else:
        damaged.write_bytes(content)

    with pytest.raises(InputError, match=message) as caught:
        scene_names("co3d:unseen", root)
    assert str(damaged) in str(caught.value)
