"""A scene becomes a folder that runners take, and runners find it by its name."""

import argparse
from pathlib import Path

import numpy as np
import peers
import pytest
from engines.runs import Job
from photo_sets import load_scene, stage
from photo_sets.sets import find_set, find_sets

from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from tests.tools import fabricate


def test_a_staged_scene_has_links_to_its_photos_and_the_truth_that_was_put_in(tmp_path):
    made = fabricate.eth3d(tmp_path)
    scene = load_scene("eth3d:pipes", tmp_path)

    folder = stage(scene, tmp_path / "staged")

    links = {
        path.relative_to(folder / "images").as_posix(): path for path in (folder / "images").rglob("*.JPG")
    }
    assert sorted(links) == list(scene.names)
    assert all(link.samefile(scene.photos / name) for name, link in links.items())
    assert (folder / "photos.txt").read_text().split() == list(scene.names)
    truth = load_ground_truth(folder)
    assert (truth.unit, truth.position_accuracy) == ("m", 1e-3)
    for name, pose in made.poses.items():
        np.testing.assert_allclose(truth.poses[name].matrix(), pose.matrix(), atol=1e-9)
        assert truth.cameras[name].params.tolist() == scene.truth.cameras[name].params.tolist()


def test_staging_again_writes_nothing(tmp_path):
    fabricate.eth3d(tmp_path)
    scene = load_scene("eth3d:pipes", tmp_path)
    folder = stage(scene, tmp_path / "staged")
    before = {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in sorted(folder.rglob("*"))}

    stage(scene, folder)

    after = {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in sorted(folder.rglob("*"))}
    assert after == before


def test_staging_another_subset_leaves_no_photo_of_the_first(tmp_path):
    fabricate.eth3d(tmp_path)
    folder = stage(load_scene("eth3d:pipes", tmp_path), tmp_path / "staged")
    (folder / "images" / "stray" / "folder").mkdir(parents=True)

    few = load_scene("eth3d:pipes@3", tmp_path)
    stage(few, folder)

    assert sorted(p.name for p in (folder / "images").rglob("*.JPG")) == [Path(n).name for n in few.names]
    assert not (folder / "images" / "stray").exists()
    assert tuple(load_ground_truth(folder).poses) == few.names


def test_where_links_cannot_be_made_photos_are_copied(tmp_path, monkeypatch):
    def impossible(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr("os.symlink", impossible)
    monkeypatch.setattr("os.link", impossible)
    fabricate.strecha(tmp_path)

    folder = stage(load_scene("strecha:Herz-Jesus-P8", tmp_path), tmp_path / "staged")

    assert len(list((folder / "images").glob("*.jpg"))) == 8
    monkeypatch.setattr("shutil.copy2", impossible)
    with pytest.raises(InputError, match=r"0000\.jpg cannot be made: not on this file system"):
        stage(load_scene("strecha:Herz-Jesus-P8", tmp_path), tmp_path / "again")


def test_another_programs_result_is_no_measured_truth(tmp_path):
    fabricate.tanks_and_temples(tmp_path)

    found = find_set("tanks_and_temples:Horse@25", tmp_path, datasets=tmp_path, staged=tmp_path / "staged")

    assert found.name == "tanks_and_temples-Horse@25"
    assert not found.truth_is_measured
    truth = load_ground_truth(found.truth)
    assert (len(truth.poses), truth.unit) == (25, None)
    assert truth.metres == pytest.approx(2.5)


def test_a_scene_is_found_by_its_name_among_photo_sets(tmp_path):
    made = fabricate.eth3d(tmp_path)

    found = find_set("eth3d:pipes@5", tmp_path, datasets=tmp_path, staged=tmp_path / "staged")

    assert found.name == "eth3d-pipes@5"
    assert found.truth_is_measured
    assert len([path for path in found.photos.rglob("*") if path.is_file()]) == 5
    before = found.content_key()
    fabricate.write_photos(made.folder / "images", list(made.poses), (8, 8))
    assert found.content_key() != before


def asked_for(names, root: Path, out: Path | None = None):
    options = argparse.Namespace(datasets=root, data=root, cache=root / "cache", out=out)
    return find_sets(names, options)


def test_lists_of_one_name_are_two_sets_with_photos_of_their_own(tmp_path):
    fabricate.eth3d(tmp_path)
    lists = [tmp_path / "a" / "list.txt", tmp_path / "b" / "list.txt"]
    for file, photos in zip(
        lists, ("DSC_0634.JPG\nDSC_0636.JPG\n", "DSC_0640.JPG\nDSC_0641.JPG\n"), strict=True
    ):
        file.parent.mkdir()
        file.write_text(photos)

    sets = asked_for([f"eth3d:pipes@{file}" for file in lists], tmp_path, tmp_path / "out" / "r.json")

    assert len({found.name for found in sets}) == 2
    for found, file in zip(sets, lists, strict=True):
        assert sorted(path.name for path in found.photos.rglob("*.JPG")) == file.read_text().split()
        listed = (tmp_path / "out" / f"{found.name}-photos.txt").read_text().split()
        assert [Path(name).name for name in listed] == file.read_text().split()


def test_what_is_named_twice_is_measured_once(tmp_path):
    fabricate.eth3d(tmp_path)
    fabricate.write_photos(tmp_path / "fox", ["1.jpg"])

    sets = asked_for(["eth3d:pipes", "fox", "eth3d:pipes@all", str(tmp_path / "fox")], tmp_path)

    assert [found.name for found in sets] == ["eth3d-pipes", "fox"]


def test_different_photos_under_one_name_are_refused(tmp_path):
    for scene in ("my scene", "my-scene"):
        fabricate.colmap_binary(tmp_path, "colmap", scene)
    for parent in ("x", "y"):
        fabricate.write_photos(tmp_path / parent / "fox", ["1.jpg"])

    for names in (["colmap:my scene", "colmap:my-scene"], [str(tmp_path / p / "fox") for p in "xy"]):
        with pytest.raises(SystemExit, match="are different photos under one name") as caught:
            asked_for(names, tmp_path)
        assert all(name in str(caught.value) for name in names)


def test_one_list_for_a_group_is_refused_with_what_to_give_instead(tmp_path):
    for scene, count in (("pipes", 14), ("meadow", 15)):
        fabricate.eth3d(tmp_path, scene, count)
    (tmp_path / "list.txt").write_text("DSC_0634.JPG\nDSC_0648.JPG\n")  # the last is meadow's alone

    with pytest.raises(
        SystemExit, match=r"pipes has no photo DSC_0648\.JPG \(.*a folder with a list for each"
    ):
        asked_for([f"eth3d:{scene}@{tmp_path / 'list.txt'}" for scene in ("meadow", "pipes")], tmp_path)


@pytest.mark.parametrize(
    ("engine", "scene", "skipped"),
    [
        ("incremental", "tanks_and_temples:Horse", True),
        ("hierarchical", "tanks_and_temples:Horse@all", True),
        ("incremental", "tanks_and_temples:Horse@200", True),  # which has 151
        ("incremental", "tanks_and_temples:Horse@151", True),
        ("incremental", "tanks_and_temples:Horse@50", False),
        ("global", "tanks_and_temples:Horse", False),
        ("ours", "tanks_and_temples:Horse@200", False),
        ("incremental", "eth3d:pipes", False),
        ("incremental", "eth3d:pipes@200", False),
    ],
)
def test_colmap_is_not_compared_with_itself(tmp_path, engine, scene, skipped):
    fabricate.tanks_and_temples(tmp_path)
    fabricate.eth3d(tmp_path)
    photo_set = find_set(scene, tmp_path, datasets=tmp_path, staged=tmp_path / "staged")

    told = peers.why_skipped(Job(photo_set, engine, "exhaustive", 0))

    assert told.startswith("not measured: the truth is COLMAP's own") == skipped
    assert bool(told) == skipped
