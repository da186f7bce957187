"""Scenes of one, two and three photos, with the oracle of a rendered scene in place of the network."""

import json
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import trimesh
from PIL import Image

from tests.e2e.conftest import Command
from tests.exports.glb_browser import drawn_by_browser
from tests.exports.gltf_reader import Glb
from tests.faults.killing import Killer

OPTIONS = ("--threads", "1", "mast3r.image_size=128", "export.report=false")
FOCAL_PX = 154
"""Of the rendered photos."""


def photos_of(scene: Path, folder: Path, count: int) -> Path:
    """The first photos of the scene."""
    folder.mkdir()
    for photo in sorted((scene / "images").iterdir())[:count]:
        shutil.copy(photo, folder)
    return folder


def words_of(scene: Path, folder: Path, count: int, *more: str | Path) -> tuple[str | Path, ...]:
    """`sfm run --preset scene` into `folder`/out."""
    photos = folder / "photos"
    if not photos.is_dir():
        photos_of(scene, photos, count)
    oracle = f"internal.mast3r.oracle={scene}"
    return ("run", photos, "-o", folder / "out", "--preset", "scene", *OPTIONS, oracle, *more)


def events(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]


@dataclass(frozen=True, slots=True)
class Made:
    """What a run of a few photos left."""

    out: Path
    count: int
    surface: str
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module", params=[(n, kind) for n in (1, 2, 3) for kind in ("points", "mesh")])
def made(
    request: pytest.FixtureRequest,
    scene: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sfm_command: Command,
) -> Made:
    count, surface = request.param
    folder = tmp_path_factory.mktemp("few")
    done = sfm_command(*words_of(scene, folder, count, "--as", surface))
    return Made(folder / "out", count, surface, done)


def test_a_few_photos_end_in_a_model_and_a_scene(made: Made) -> None:
    out, count = made.out, made.count

    assert made.done.returncode == 0, made.done.stderr
    assert f"scene       {out / 'scene.glb'}" in made.done.stdout
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == count
    found = Glb(out / "scene.glb")
    assert len(found.tree["cameras"]) == count
    names = [node["name"] for node in found.tree["nodes"] if "mesh" in node]
    shapes = count if made.surface == "mesh" else 1
    assert len(names) == shapes + 2 * count  # and a frustum and a photo of each camera
    assert sum(name.startswith("surface ") for name in names) == (count if made.surface == "mesh" else 0)
    loaded = trimesh.load(out / "scene.glb")
    assert len(loaded.geometry) == len(names)
    told = json.loads((out / "views.json").read_text())
    assert told["depth_from"] == "alignment"
    assert told["points"]["written"] > 1000 * count
    stems = [f"photo_{number:02d}" for number in range(count)]
    for part, suffixes in (("depth", ("npy", "png", "json")), ("confidence", ("npy", "png"))):
        here = {path.name for path in (out / part).iterdir()} - {"loopsfm_export.json"}
        assert here == {f"{stem}.{suffix}" for stem in stems for suffix in suffixes}
    assert not list((out / "cache" / "scratch").iterdir())


def test_a_browser_draws_the_scene_as_the_photo_shows_it(made: Made, tmp_path: Path) -> None:
    glb, size = Glb(made.out / "scene.glb"), (128, 96)
    name = glb.tree["cameras"][0]["name"]

    drawn = drawn_by_browser(made.out / "scene.glb", tmp_path, camera=0, size=size)

    loaded = trimesh.load(made.out / "scene.glb").geometry
    assert drawn.nodes.keys() == {node["name"] for node in glb.tree["nodes"] if "mesh" in node}
    for node, found in drawn.nodes.items():
        assert found["mode"] == glb.primitive(node).get("mode", 4)
        assert found["count"] == len(glb.positions(node))
        np.testing.assert_allclose(found["middle"], glb.positions(node).mean(axis=0), atol=1e-4)
        if node.startswith("surface "):
            assert found["corners"] == loaded[node].faces.size
    with Image.open(made.out / "images" / name) as photo:
        seen = np.asarray(photo.resize(size)).mean(axis=2)
    with Image.open(made.out / "depth" / "photo_00.png") as depth:
        usable = np.asarray(depth) > 0
    there = drawn.covered
    assert there[usable].mean() > 0.9
    assert np.corrcoef(drawn.rgb.mean(axis=2)[there], seen[there])[0, 1] > 0.7


def true_depth(scene: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Metres, at the pixels of the network's image."""
    depth = np.load(scene / "depth" / f"{name}.npy")
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, depth.shape, strict=True)
    )
    return depth[rows[:, None], columns[None]]


@pytest.mark.parametrize("count", [1, 3])
def test_depth_is_that_of_the_scene(scene: Path, tmp_path: Path, count: int, sfm_command: Command) -> None:
    assert sfm_command(*words_of(scene, tmp_path, count)).returncode == 0

    ratios = []
    for number in range(count):
        depth = np.load(tmp_path / "out" / "depth" / f"photo_{number:02d}.npy")
        truth = true_depth(scene, f"photo_{number:02d}.jpg", depth.shape)
        both = (depth > 0) & (truth > 0)
        assert both.mean() > 0.7
        ratios.append(depth[both] / truth[both])
    unit = np.median(np.concatenate(ratios))
    if count == 1:  # in metres
        assert unit == pytest.approx(1, rel=0.02)
    for ratio in ratios:
        assert np.median(np.abs(ratio / unit - 1)) < 0.03


def test_one_photo_is_at_the_origin_with_the_focal_length_of_its_pointmap(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    photos, out = photos_of(scene, tmp_path / "photos", 1), tmp_path / "out"
    oracle = f"internal.mast3r.oracle={scene}"
    words = ("run", photos, "-o", out, "backend=mast3r", *OPTIONS, oracle)

    done = sfm_command(*words)

    assert done.returncode == 0, done.stderr
    assert "no other photo confirms them" in json.loads((out / "run.json").read_text())["message"]
    assert "Complete: a scene of one photo" in done.stdout
    assert "in doubt" not in done.stdout
    assert "not folded" not in done.stdout  # nothing says so
    (record,) = json.loads((out / "run.json").read_text())["models"]
    assert record["probability"] is None
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    (image,), (camera,) = model.images.values(), model.cameras.values()
    np.testing.assert_array_equal(image.cam_from_world().matrix(), np.eye(4)[:3])
    assert camera.mean_focal_length() == pytest.approx(FOCAL_PX, rel=0.05)
    assert model.num_points3D() > 200
    assert model.compute_mean_reprojection_error() < 0.01
    assert [event["event"] for event in events(out)].count("metric_scale") == 1
    assert not (out / "scene.glb").exists()
    # Photos are located in it; the rest says what it needs.
    (tmp_path / "query").mkdir()
    shutil.copy(scene / "images" / "photo_01.jpg", tmp_path / "query")
    found = sfm_command("localize", out, tmp_path / "query", "-o", tmp_path / "located", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["queries"][0]["num_inliers"] > 100
    extended = sfm_command("extend", out, tmp_path / "query", "-o", tmp_path / "more")
    assert extended.returncode == 3
    assert "a model of one photo" in extended.stderr
    assert not (tmp_path / "more").exists()
    dense = sfm_command("dense", out)
    assert dense.returncode != 0
    assert "the model has one photo" in dense.stderr
    # A second photo makes it a model of two.
    shutil.copy(scene / "images" / "photo_01.jpg", photos)
    assert sfm_command(*words).returncode == 0
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == 2


def test_intrinsics_that_are_given_stay(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    given = ("images.camera_model=PINHOLE", "images.camera_params=160,161,95,73")

    assert sfm_command(*words_of(scene, tmp_path, 1, *given)).returncode == 0

    (camera,) = pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0").cameras.values()
    assert camera.params.tolist() == [160, 161, 95, 73]


def test_other_matchers_say_what_makes_a_scene_of_one_photo(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    photos = photos_of(scene, tmp_path / "photos", 1)

    done = sfm_command("run", photos, "-o", tmp_path / "out", "backend=sift")

    assert done.returncode == 3
    assert "only one usable photo" in done.stderr
    assert "backend=mast3r makes a scene" in done.stderr
    assert not (tmp_path / "out" / "sparse").exists()


def test_what_somebody_changed_in_a_scene_is_kept(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    words, out = words_of(scene, tmp_path, 2), tmp_path / "out"
    assert sfm_command(*words).returncode == 0
    whole = (out / "scene.glb").read_bytes()
    (out / "scene.glb").write_bytes(b"mine")
    (out / "depth" / "photo_00.png").write_bytes(b"mine, too")
    (out / "depth" / "notes.txt").write_text("mine as well")

    done = sfm_command(*words)

    assert done.returncode == 0, done.stderr
    assert (out / "scene.glb").read_bytes() == whole
    assert (out / "scene.glb.kept").read_bytes() == b"mine"
    assert (out / "depth" / "photo_00.png.kept").read_bytes() == b"mine, too"
    assert (out / "depth" / "notes.txt").read_text() == "mine as well"
    assert sfm_command(*words).returncode == 0
    assert sorted(path.name for path in out.glob("*.kept*")) == ["scene.glb.kept"]


def test_a_run_says_where_its_scene_and_report_are_of_an_earlier_one(
    scene: Path, tmp_path: Path, sfm_command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    words, out = words_of(scene, tmp_path, 2, "export.report=true"), tmp_path / "out"

    def said(*more: str) -> str:
        caplog.clear()
        assert sfm_command(*words, *more).returncode == 0
        return caplog.text

    assert "of an earlier run" not in said()
    whole = (out / "scene.glb").read_bytes()
    without = ("export.scene=never", "export.report=false")

    assert "show the model of an earlier run" not in said(*without)
    other = said(*without, "alignment.level=coarse")

    assert f"{out}/scene.glb, depth/ and confidence/ show the model of an earlier run" in other
    assert f"{out}/report.html is of an earlier run" in other
    assert (out / "scene.glb").read_bytes() == whole
    assert "of an earlier run" not in said("alignment.level=coarse")


def test_a_folder_of_somebody_elses_is_left_alone(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    words, out = words_of(scene, tmp_path, 2), tmp_path / "out"
    assert sfm_command(*words, "export.scene=never").returncode == 0
    (out / "depth").mkdir()
    (out / "depth" / "photo_00.png").write_bytes(b"mine")

    done = sfm_command(*words)

    assert done.returncode == 5  # before anything is computed
    assert "ingest" not in done.stderr
    assert "depth is not empty and is not an earlier export" in done.stderr
    assert [path.name for path in (out / "depth").iterdir()] == ["photo_00.png"]
    assert not (out / "scene.glb").exists()
    assert (out / "sparse" / "0" / "images.bin").is_file()


@pytest.mark.slow  # it runs the command nine times
@pytest.mark.parametrize("count", [1, 2])
def test_a_killed_scene_leaves_nothing_half_written_and_is_completed(
    scene: Path, tmp_path: Path, kill: Killer, count: int
) -> None:
    words, out = words_of(scene, tmp_path, count, "--as", "mesh"), tmp_path / "out"
    code, changes = kill.run(tmp_path, *words)
    assert code == 0, (tmp_path / "said.txt").read_text()
    whole = (out / "scene.glb").read_bytes()
    for back in (1, 3, 6, 12):  # the scene is among the last things that are written
        shutil.rmtree(out)
        code, _ = kill.run(tmp_path, *words, kill_at=changes - back)
        assert code == -signal.SIGKILL
        for part in ("depth", "confidence"):
            assert not (out / part).exists() or (out / part / "loopsfm_export.json").is_file()
        assert not (out / "scene.glb").exists() or (out / "scene.glb").read_bytes() == whole
        code, _ = kill.run(tmp_path, *words)
        assert code == 0, (tmp_path / "said.txt").read_text()
        assert (out / "scene.glb").read_bytes() == whole
        assert not [path for path in out.iterdir() if path.name.startswith(".") or "kept" in path.name]
