"""Subsets of scenes, and the split of CO3D."""

import gzip
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_sets import load_scene, scene_names, with_subset
from photo_sets.co3d_split import CATEGORIES
from photo_sets.lists import scene_lists
from photo_sets.subsets import drawn, regular

from sfm.errors import InputError
from tests.tools import fabricate

NAMES = [f"{i:06d}.jpg" for i in range(1, 411)]


def test_regular_photos_are_at_the_rounded_places():
    assert regular(NAMES[:10], 4) == ("000001.jpg", "000004.jpg", "000007.jpg", "000010.jpg")
    # linspace(0, 7, 3) = 0, 3.5, 7; a half goes to the even neighbour, as numpy rounds
    assert regular(NAMES[:8], 3) == ("000001.jpg", "000005.jpg", "000008.jpg")


@given(count=st.integers(2, 500), total=st.integers(2, 410), shuffled=st.randoms(use_true_random=False))
def test_regular_photos_hold_both_ends_and_are_as_many_as_asked_for(count, total, shuffled):
    names = NAMES[:total]
    mixed = list(names)
    shuffled.shuffle(mixed)

    found = regular(mixed, count)

    assert found == regular(names, count)
    assert len(found) == min(count, total)
    assert (found[0], found[-1]) == (names[0], names[-1])
    gaps = np.diff([names.index(name) for name in found])
    assert gaps.max() - gaps.min() <= 1


def test_ten_drawn_photos_depend_on_the_seed_alone():
    first = drawn(NAMES, "co3d/apple/1:0")

    assert first == drawn(list(reversed(NAMES)), "co3d/apple/1:0")
    assert first == tuple(sorted(first))
    assert len(set(first)) == 10
    assert first != drawn(NAMES, "co3d/apple/1:1")
    # Held for ever: a published figure is of these frames.
    assert first[:2] == ("000019.jpg", "000109.jpg")


def test_a_subset_restricts_photos_poses_and_cameras(tmp_path):
    fabricate.eth3d(tmp_path)

    scene = load_scene("eth3d:pipes@5", tmp_path)

    assert scene.name == "eth3d/pipes@5"
    assert len(scene.names) == 5
    assert tuple(scene.truth.poses) == tuple(scene.truth.cameras) == scene.names
    assert load_scene("eth3d:pipes@all", tmp_path).name == "eth3d/pipes"
    assert len(load_scene("eth3d:pipes@200", tmp_path).names) == 14


def test_a_list_of_photos_names_them_in_full_or_by_their_last_part(tmp_path):
    fabricate.eth3d(tmp_path)
    lists = tmp_path / "minimal overlap.txt"
    lists.write_text("# MP-SfM\nDSC_0636.JPG\n\ndslr_images_undistorted/DSC_0634.JPG\n")

    scene = load_scene(f"eth3d:pipes@{lists}", tmp_path)

    assert [name[-12:] for name in scene.names] == ["DSC_0634.JPG", "DSC_0636.JPG"]
    assert re.fullmatch(r"eth3d/pipes@minimal overlap-[0-9a-f]{8}", scene.name)


def test_lists_of_one_name_are_one_subset_only_where_they_choose_the_same_photos(tmp_path):
    fabricate.eth3d(tmp_path)
    texts = {
        "a": "DSC_0634.JPG\nDSC_0636.JPG\n",
        "b": "DSC_0636.JPG\nDSC_0634.JPG\n",
        "c": "DSC_0634.JPG\nDSC_0637.JPG\n",
    }
    for folder, text in texts.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "list.txt").write_text(text)

    name = {f: load_scene(f"eth3d:pipes@{tmp_path / f / 'list.txt'}", tmp_path).name for f in texts}

    assert name["a"] == name["b"]
    assert name["a"] != name["c"]


def test_a_folder_of_lists_has_one_for_each_scene(tmp_path):
    fabricate.eth3d(tmp_path)
    lists = tmp_path / "low-overlap"
    lists.mkdir()
    (lists / "pipes.txt").write_text("DSC_0634.JPG\nDSC_0640.JPG\n")

    scene = load_scene(f"eth3d:pipes@{lists}", tmp_path)

    assert [name[-12:] for name in scene.names] == ["DSC_0634.JPG", "DSC_0640.JPG"]
    assert re.fullmatch(r"eth3d/pipes@low-overlap-[0-9a-f]{8}", scene.name)
    assert f"eth3d:pipes@{lists}" in scene_names(f"eth3d:training@{lists}", tmp_path)
    (lists / "pipes.txt").unlink()
    with pytest.raises(InputError, match=r"low-overlap/pipes\.txt is missing"):
        load_scene(f"eth3d:pipes@{lists}", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("DSC_0001.JPG\nDSC_0636.JPG\n", r"list\.txt: .* has no photo DSC_0001"),
        ("", r"list\.txt names 0 photos"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path, content, message):
    fabricate.eth3d(tmp_path)
    (tmp_path / "list.txt").write_text(content)

    with pytest.raises(InputError, match=message):
        load_scene(f"eth3d:pipes@{tmp_path / 'list.txt'}", tmp_path)


@pytest.mark.parametrize("subset", ["1", "many", "-5", "seed", "no/such/file"])
def test_other_subsets_are_refused(tmp_path, subset):
    fabricate.eth3d(tmp_path)

    with pytest.raises(InputError, match="has no subset"):
        with_subset(load_scene("eth3d:pipes", tmp_path), subset)


def test_a_group_is_all_its_scenes_there_or_not(tmp_path):
    training = scene_names("eth3d:training", tmp_path)

    assert len(training) == 13
    assert training[0] == "eth3d:courtyard"
    assert len(scene_names("eth3d-distorted:all", tmp_path)) == 25
    tanks = scene_names("tanks_and_temples:all@50", tmp_path)
    assert (len(tanks), tanks[0]) == (21, "tanks_and_temples:Barn@50")
    assert scene_names("eth3d:pipes@5", tmp_path) == ["eth3d:pipes@5"]
    assert scene_names("data/demo", tmp_path) == ["data/demo"]


def test_all_of_a_dataset_without_a_list_is_what_is_there(tmp_path):
    made = fabricate.co3d(tmp_path)

    assert scene_names("co3d:all@seed2", tmp_path) == [f"co3d:{made.scene}@seed2"]
    assert scene_names("colmap:all", tmp_path) == ["colmap:all"]


def test_the_lists_have_the_scenes_and_sums_of_the_protocols():
    lists = scene_lists()
    counts = {
        (dataset, group): [s.num_photos for s in listed.scenes.values() if s.group == group]
        for dataset, listed in lists.items()
        for group in {s.group for s in listed.scenes.values()}
    }

    assert (len(counts["eth3d", "training"]), sum(counts["eth3d", "training"])) == (13, 454)
    assert len(lists["eth3d"].scenes) == 25
    tanks = [counts["tanks_and_temples", group] for group in ("training", "intermediate", "advanced")]
    assert [len(group) for group in tanks] == [7, 8, 6]
    assert (min(map(min, tanks)), max(map(max, tanks))) == (151, 1106)
    # Averages of the NVS tables, which leave out Courthouse, M60 with Panther, and one scene of 302 photos.
    assert (sum(tanks[0]) - 1106) / 6 == pytest.approx(364.2, abs=0.05)
    assert (sum(tanks[1]) - 313 - 314) / 6 == pytest.approx(253.7, abs=0.05)
    assert (sum(tanks[2]) - 302) / 5 == pytest.approx(347.4, abs=0.05)
    assert sorted(counts["strecha", "all"]) == [8, 10, 11, 19, 25, 30]


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
