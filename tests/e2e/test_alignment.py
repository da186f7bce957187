"""Mapper alignment from photos to models, with the oracle of a rendered scene in place of the network."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from tests.conftest import MakeOnce
from tests.e2e.conftest import Command, assert_kills_change_nothing, assert_same_model
from tests.faults.killing import Killer
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
    done = sfm_command("export", out, "--to", "views", "-d", tmp_path / "views")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "views" / "views.json").read_text())
    assert told["unit"] == "m"
    assert told["metres_per_model_unit"] == pytest.approx(1.0)


def test_a_model_of_alignment_is_extended(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    names = sorted(photo.name for photo in (scene / "images").iterdir())
    for folder, some in (("old", names[:4]), ("new", names[4:])):
        (tmp_path / folder).mkdir()
        for name in some:
            shutil.copy(scene / "images" / name, tmp_path / folder)
    oracle, out = f"internal.mast3r.oracle={scene}", tmp_path / "out"
    done = sfm_command("run", tmp_path / "old", "-o", out, *OPTIONS, oracle, ALIGNED)
    assert done.returncode == 0, done.stderr

    done = sfm_command("extend", out, tmp_path / "new", "-o", tmp_path / "more")

    assert done.returncode == 0, done.stderr
    assert pycolmap.Reconstruction(tmp_path / "more" / "sparse" / "0").num_reg_images() == 6
    assert auc_at_3(sfm_command, tmp_path / "more", scene) > 85


def test_where_a_photo_fits_no_other_the_others_stay(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    names = sorted(photo.name for photo in (scene / "images").iterdir())[:3]
    (tmp_path / "photos").mkdir()
    for name in names:
        shutil.copy(scene / "images" / name, tmp_path / "photos")
    (tmp_path / "pairs.txt").write_text(f"{names[0]} {names[1]}\n")
    pairs = (
        "retrieval.mode=pairs",
        f"retrieval.pairs_file={tmp_path / 'pairs.txt'}",
        "register.max_rounds=0",
    )
    oracle, out = f"internal.mast3r.oracle={scene}", tmp_path / "out"

    done = sfm_command("run", tmp_path / "photos", "-o", out, *OPTIONS, oracle, ALIGNED, *pairs)

    assert done.returncode == 0, done.stderr
    assert sorted(by_name(pycolmap.Reconstruction(out / "sparse" / "0"))) == names[:2]


WORLD = pycolmap.Sim3d(3, pycolmap.Rotation3d([0.1, 0.3, -0.3, 0.9]), [500.0, -20, 70])
"""From the frame of the truth to that of the known poses, three units a metre."""


def known_model(scene: Path, names: list[str], folder: Path) -> pycolmap.Reconstruction:
    """The true poses of photos as a model without points, in a world of its own."""
    truth = json.loads((scene / "gt.json").read_text())
    model = pycolmap.Reconstruction()
    for number, name in enumerate(names, start=1):
        camera, pose = truth["cameras"][name], truth["images"][name]
        model.add_camera_with_trivial_rig(pycolmap.Camera(camera_id=number, **camera))
        rotation = pycolmap.Rotation3d(np.array(pose["R_cw"]))
        cam_from_world = pycolmap.Rigid3d(rotation, np.array(pose["t_cw"]))
        image = pycolmap.Image(name, np.zeros((0, 2)), number, number)
        model.add_image_with_trivial_frame(image, cam_from_world)
    model.transform(WORLD)
    folder.mkdir()
    model.write(folder)
    return pycolmap.Reconstruction(folder)


def by_name(model: pycolmap.Reconstruction) -> dict[str, pycolmap.Image]:
    return {model.image(i).name: model.image(i) for i in model.reg_image_ids()}


@pytest.mark.parametrize(
    ("numbers", "refine", "degrees", "metres"),
    [((1, 4), "ba", 0.1, 0.02), ((1, 4), "none", 0.1, 0.02), ((2,), "ba", 0.3, None)],
)
def test_known_poses_stay_and_give_the_world(
    numbers: tuple[int, ...],
    refine: str,
    degrees: float,
    metres: float | None,
    scene: Path,
    finished: Path,
    tmp_path: Path,
    sfm_command: Command,
) -> None:
    names = sorted(photo.name for photo in (scene / "images").iterdir())
    known = known_model(scene, [names[i] for i in numbers], tmp_path / "known")
    truth = by_name(known_model(scene, names, tmp_path / "truth"))
    out = shutil.copytree(finished, tmp_path / "out", symlinks=True)
    oracle = f"internal.mast3r.oracle={scene}"
    options = (ALIGNED, f"register.poses={tmp_path / 'known'}", f"alignment.refine={refine}")

    done = sfm_command("run", scene / "images", "-o", out, *OPTIONS, oracle, *options)

    assert done.returncode == 0, done.stderr
    found = by_name(pycolmap.Reconstruction(out / "sparse" / "0"))
    assert sorted(found) == names
    for name, image in by_name(known).items():
        assert np.array_equal(found[name].cam_from_world().matrix(), image.cam_from_world().matrix())
    about = truth[names[numbers[0]]].projection_center()
    for name, image in found.items():
        turn = image.cam_from_world().rotation.angle_to(truth[name].cam_from_world().rotation)
        assert np.rad2deg(turn) < degrees
        if metres is not None:
            apart = image.projection_center() - truth[name].projection_center()
            assert np.linalg.norm(apart) / WORLD.scale < metres
        elif name != names[numbers[0]]:  # the unit is that of depth
            far, true = (one.projection_center() - about for one in (image, truth[name]))
            assert np.linalg.norm(far) == pytest.approx(np.linalg.norm(true) / WORLD.scale, rel=0.05)


def test_groups_that_known_poses_alone_join_are_one_model(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    names = sorted(photo.name for photo in (scene / "images").iterdir())
    known_model(scene, [names[i] for i in (0, 1, 3, 4)], tmp_path / "known")
    truth = by_name(known_model(scene, names, tmp_path / "truth"))
    groups = (names[:3], names[3:])
    pairs = [f"{a} {b}\n" for group in groups for a, b in combinations(group, 2)]
    (tmp_path / "pairs.txt").write_text("".join(pairs))
    options = (ALIGNED, f"register.poses={tmp_path / 'known'}", "register.max_rounds=0")
    chosen = ("retrieval.mode=pairs", f"retrieval.pairs_file={tmp_path / 'pairs.txt'}")
    oracle, out = f"internal.mast3r.oracle={scene}", tmp_path / "out"

    done = sfm_command("run", scene / "images", "-o", out, *OPTIONS, oracle, *options, *chosen)

    assert done.returncode == 0, done.stderr
    assert json.loads((out / "run.json").read_text())["pairs"]["matched"] == 6
    assert not (out / "sparse" / "1").exists()
    found = by_name(pycolmap.Reconstruction(out / "sparse" / "0"))
    assert sorted(found) == names
    for name, image in found.items():
        pose, true = image.cam_from_world(), truth[name].cam_from_world()
        assert np.rad2deg(pose.rotation.angle_to(true.rotation)) < 0.1
        apart = image.projection_center() - truth[name].projection_center()
        assert np.linalg.norm(apart) / WORLD.scale < 0.02


def test_dense_alignment_refuses_known_poses(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    known_model(scene, ["photo_00.jpg", "photo_01.jpg"], tmp_path / "known")
    options = (f"internal.mast3r.oracle={scene}", f"register.poses={tmp_path / 'known'}")
    mapper = "register.mapper=dense-alignment"

    done = sfm_command("run", scene / "images", "-o", tmp_path / "out", *OPTIONS, *options, mapper)

    assert done.returncode == 2
    assert "register.mapper=dense-alignment cannot start from register.poses" in done.stderr


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


@pytest.mark.parametrize("num_kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_alignment_goes_on_to_the_same_model(
    num_kills: int, scene: Path, tmp_path: Path, kill: Killer
) -> None:
    """Killed while directions are inferred, sums are kept, or models are written."""
    (tmp_path / "photos").mkdir()
    for photo in sorted((scene / "images").iterdir())[:3]:
        shutil.copy(photo, tmp_path / "photos")
    few = ("internal.alignment.niter1=30", "internal.alignment.niter2=30")
    words = (tmp_path / "photos", *OPTIONS, f"internal.mast3r.oracle={scene}", ALIGNED, *few)
    assert_kills_change_nothing(kill, tmp_path, words, num_kills)


def test_other_matchers_have_no_pointmaps(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    done = sfm_command("run", scene / "images", "-o", tmp_path / "out", "backend=sift", ALIGNED)
    assert done.returncode == 2
    assert "needs the pointmaps of backend mast3r, not sift" in done.stderr


def first(scene: Path, count: int, folder: Path) -> Path:
    """The first photos."""
    folder.mkdir()
    for photo in sorted((scene / "images").iterdir())[:count]:
        shutil.copy(photo, folder)
    return folder


@pytest.fixture
def two(scene: Path, tmp_path: Path) -> Path:
    """The first two photos."""
    return first(scene, 2, tmp_path / "two")


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
    photos = first(scene, 4, tmp_path / "four")
    truth = json.loads((scene / "gt.json").read_text())["images"]
    known = {photo.name: truth[photo.name] for photo in photos.iterdir()}
    (tmp_path / "gt.json").write_text(json.dumps({"images": known}))
    done = sfm_command("run", photos, "-o", out, *OPTIONS, oracle, "register.mapper=dense-alignment")

    assert done.returncode == 0, done.stderr
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == 4
    assert auc_at_3(sfm_command, out, tmp_path) > 85


def test_a_dust3r_checkpoint_runs(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    # Random weights match nothing: the run must say so, and end as others without a model do.
    weights = write_network(tmp_path / "DUSt3R.pth", TINY_DUST3R, network_state(TINY_DUST3R))
    named = (f"mast3r.weights={weights}", "mast3r.device=cpu", "register.mapper=dense-alignment")
    done = sfm_command("run", scene / "images", "-o", tmp_path / "out", *OPTIONS, *named)

    assert done.returncode == 6, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["backend"] == "mast3r"
    assert run["pairs"]["matched"] == 15
