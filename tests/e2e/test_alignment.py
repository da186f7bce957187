"""Mapper alignment from photos to models, with the oracle of a rendered scene in place of the network."""

import json
import shutil
from pathlib import Path

import pycolmap
import pytest

from tests.conftest import MakeOnce
from tests.e2e.conftest import Command, assert_same_model
from tools.write_checkpoint import TINY_DUST3R, network_state, write_network

OPTIONS = ("--threads", "1", "backend=mast3r", "mast3r.image_size=128", "export.report=false")
ALIGNED = "register.mapper=alignment"


@pytest.fixture(scope="module")
def finished(
    scene: Path, make_once: MakeOnce, sfm_command: Command, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """OUT of a run that ends in bundle adjustment, a copy for each process."""

    def run(folder: Path) -> None:
        oracle = f"internal.mast3r.oracle={scene}"
        done = sfm_command("run", scene / "images", "-o", folder / "out", *OPTIONS, oracle, ALIGNED)
        assert done.returncode == 0, done.stderr

    out = tmp_path_factory.mktemp("aligned") / "out"
    return shutil.copytree(make_once("aligned", run) / "out", out, symlinks=True)


def auc_at_3(command: Command, out: Path, scene: Path) -> float:
    return float(json.loads(command("eval", out, scene / "gt.json", "--json").stdout)["auc"]["3"])


def test_every_photo_is_aligned_where_it_was(scene: Path, finished: Path, sfm_command: Command) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert run["photos"]["registered"] == 6
    assert len(run["models"]) == 1
    assert auc_at_3(sfm_command, finished, scene) > 85
    events = [json.loads(line) for line in (finished / "events.jsonl").read_text().splitlines()]
    (aligned,) = [event for event in events if event["event"] == "aligned"]
    assert len(aligned["losses"]) == 2
    assert aligned["stopped"] == ""


def test_without_adjustment_poses_and_a_camera_a_photo_stay_as_aligned(
    scene: Path, finished: Path, tmp_path: Path, sfm_command: Command
) -> None:
    out = shutil.copytree(finished, tmp_path / "out", symlinks=True)
    oracle = f"internal.mast3r.oracle={scene}"
    options = (ALIGNED, "alignment.refine=none", "internal.alignment.initialise=false")
    done = sfm_command("run", scene / "images", "-o", out, *OPTIONS, oracle, *options)
    assert done.returncode == 0, done.stderr

    model = pycolmap.Reconstruction(out / "sparse" / "0")
    assert model.num_reg_images() == 6
    assert {camera.model.name for camera in model.cameras.values()} == {"PINHOLE"}
    assert len(model.cameras) == 6
    assert model.num_points3D() > 100


def test_a_run_again_takes_the_kept_directions(
    scene: Path, finished: Path, tmp_path: Path, sfm_command: Command
) -> None:
    shutil.copytree(finished / "sparse", tmp_path / "sparse")
    files = {
        path: path.stat().st_mtime_ns for path in (finished / "cache" / "directions").rglob("*.safetensors")
    }
    assert len(files) == 6

    oracle = f"internal.mast3r.oracle={scene}"
    done = sfm_command("run", scene / "images", "-o", finished, *OPTIONS, oracle, ALIGNED)

    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert_same_model(tmp_path, finished)


def test_other_matchers_have_no_pointmaps(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    done = sfm_command("run", scene / "images", "-o", tmp_path / "out", "backend=sift", ALIGNED)
    assert done.returncode == 2
    assert "needs the pointmaps of backend mast3r, not sift" in done.stderr


@pytest.fixture
def two(scene: Path, tmp_path: Path) -> Path:
    """The first two photos."""
    folder = tmp_path / "two"
    folder.mkdir()
    for photo in sorted((scene / "images").iterdir())[:2]:
        shutil.copy(photo, folder)
    return folder


@pytest.mark.parametrize("mapper", ["graph", "alignment", "dense-alignment"])
def test_two_photos_end_in_a_model(
    scene: Path, two: Path, tmp_path: Path, mapper: str, sfm_command: Command
) -> None:
    oracle = f"internal.mast3r.oracle={scene}"
    out = tmp_path / "out"
    done = sfm_command("run", two, "-o", out, *OPTIONS, oracle, f"register.mapper={mapper}")

    assert done.returncode == 0, done.stderr
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    assert model.num_reg_images() == 2
    assert model.num_points3D() > 50


def test_two_photos_end_in_a_model_with_sift(two: Path, tmp_path: Path, sfm_command: Command) -> None:
    done = sfm_command("run", two, "-o", tmp_path / "out", "backend=sift", "export.report=false")

    assert done.returncode == 0, done.stderr
    assert pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0").num_reg_images() == 2


def test_dense_alignment_is_right(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    oracle = f"internal.mast3r.oracle={scene}"
    out = tmp_path / "out"
    mapper = "register.mapper=dense-alignment"
    done = sfm_command("run", scene / "images", "-o", out, *OPTIONS, oracle, mapper)

    assert done.returncode == 0, done.stderr
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == 6
    assert auc_at_3(sfm_command, out, scene) > 85


def test_a_dust3r_checkpoint_runs(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    # Random weights match nothing: the run must say so, and end as others without a model do.
    weights = write_network(tmp_path / "DUSt3R.pth", TINY_DUST3R, network_state(TINY_DUST3R))
    named = (f"mast3r.weights={weights}", "mast3r.device=cpu", "register.mapper=dense-alignment")
    done = sfm_command("run", scene / "images", "-o", tmp_path / "out", *OPTIONS, *named)

    assert done.returncode == 6, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["backend"] == "mast3r"
    assert run["pairs"]["matched"] == 15
