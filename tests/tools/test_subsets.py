"""Subsets of scenes."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_sets import load_scene, scene_names
from photo_sets.lists import scene_lists
from photo_sets.subsets import regular, with_subset

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


@pytest.mark.parametrize("subset", ["1", "many", "-5", "seed0", "no/such/file"])
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
    made = fabricate.colmap_binary(tmp_path, "colmap")

    assert scene_names("colmap:all@5", tmp_path) == [f"colmap:{made.scene}@5"]
    assert scene_names("colmap:all", tmp_path / "empty") == ["colmap:all"]


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
