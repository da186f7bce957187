"""A scene becomes a folder that runners take, and runners find it by its name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from layouts import load_scene, stage
from photo_sets import find_set

from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from tests.bench_layouts import fabricate

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


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


def test_photos_that_changed_on_disk_are_linked_anew(tmp_path):
    made = fabricate.strecha(tmp_path)
    scene = load_scene("strecha:Herz-Jesus-P8", tmp_path)
    folder = stage(scene, tmp_path / "staged")
    moved = made.folder.rename(made.folder.with_name("moved"))

    stage(load_scene("strecha:Herz-Jesus-P8", _renamed(moved, made)), folder)

    assert all(path.exists() for path in (folder / "images").iterdir())


def _renamed(folder: Path, made: fabricate.Made) -> Path:
    root = made.root / "elsewhere"
    (root / "strecha").mkdir(parents=True)
    folder.rename(root / "strecha" / made.scene)
    return root


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


def test_the_peer_runner_ends_with_one_line_where_a_scene_is_damaged(tmp_path):
    made = fabricate.eth3d(tmp_path)
    (made.folder / "images" / "dslr_images_undistorted" / "DSC_0640.JPG").unlink()
    command = [sys.executable, str(BENCH / "peers.py"), "eth3d:pipes", "--datasets", str(tmp_path)]

    done = subprocess.run(
        [*command, "--cache", str(tmp_path / "cache")], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "DSC_0640.JPG is missing" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_peer_runner_runs_a_scene_and_keeps_the_list_of_its_photos(tmp_path):
    """The demo's own photos in ETH3D's layout, all cameras its own."""
    folder = tmp_path / "eth3d" / "pipes"
    truth = json.loads((fabricate.DEMO / "gt.json").read_text())
    names = sorted(truth["images"])[:14]
    poses = load_ground_truth(fabricate.DEMO).poses
    camera = truth["cameras"][names[0]]
    photos = folder / "images" / "dslr_images_undistorted"
    photos.mkdir(parents=True)
    for name in names:
        (photos / name).write_bytes((fabricate.DEMO / "images" / name).read_bytes())
    entry = f"{camera['model']} {camera['width']} {camera['height']} {fabricate.numbers(camera['params'])}"
    named = {f"dslr_images_undistorted/{name}": poses[name] for name in names}
    fabricate.colmap_text(folder / "dslr_calibration_undistorted", named, [entry])
    out = tmp_path / "report" / "peers.json"
    command = [sys.executable, str(BENCH / "peers.py"), "eth3d:pipes", "--datasets", str(tmp_path)]
    command += ["--cache", str(tmp_path / "cache"), "--out", str(out), "--seeds", "1", "--threads", "2"]

    subprocess.run([*command, "--mappers", "incremental"], check=True, timeout=280, capture_output=True)

    (row,) = json.loads(out.read_text())["rows"]
    assert (row["set"], row["photos"]) == ("eth3d-pipes", 14)
    assert row["auc5"] > 80
    assert not row["unmeasured_truth"]
    listed = (out.parent / "eth3d-pipes-photos.txt").read_text().split()
    assert listed == sorted(named)
