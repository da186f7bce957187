"""The mast3r backend from photos to model, with the oracle of a rendered scene in place of the network."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from tests.conftest import MakeOnce
from tests.e2e.conftest import Command, assert_same_model
from tests.faults.killing import Killer

OPTIONS = ("--threads", "1", "backend=mast3r", "mast3r.image_size=96", "export.report=false")


@pytest.fixture(scope="module")
def finished(
    scene: Path, make_once: MakeOnce, sfm_command: Command, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """OUT of a run, a copy for each process."""

    def run(folder: Path) -> None:
        done = sfm_command(
            "run", scene / "images", "-o", folder / "out", *OPTIONS, f"internal.mast3r.oracle={scene}"
        )
        assert done.returncode == 0, done.stderr
        assert "matcher     mast3r" in done.stdout

    out = tmp_path_factory.mktemp("finished") / "out"
    return shutil.copytree(make_once("finished", run) / "out", out, symlinks=True)


def pairs(out: Path) -> list[dict[str, object]]:
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == "pair"]


def test_photos_in_the_collection_and_beside_it_are_looked_up_with_the_runs_own_network(
    scene: Path, finished: Path, tmp_path: Path, sfm_command: Command
) -> None:
    # Other bytes under the name of a photo: the oracle sees what that photo shows.
    Image.open(scene / "images" / "photo_03.jpg").save(tmp_path / "photo_03.jpg", quality=60)

    done = sfm_command(
        "retrieve", "-o", finished, "--query", tmp_path / "photo_03.jpg", "--query", "photo_03.jpg", "--json"
    )

    assert done.returncode == 0, done.stderr
    beside, inside = json.loads(done.stdout)["queries"]
    assert not beside["in_collection"]
    assert beside["num_descriptors"] > 0
    assert beside["found"][0]["name"] == "photo_03.jpg"
    # The same tokens, whitened alike, find the same photos.
    assert [hit["name"] for hit in beside["found"][1:]] == [hit["name"] for hit in inside["found"]]
    assert [hit["score"] for hit in beside["found"][1:]] == pytest.approx(
        [hit["score"] for hit in inside["found"]]
    )
    assert any(hit["verified"] for hit in inside["found"])


def test_every_photo_is_registered_where_it_was(scene: Path, finished: Path, sfm_command: Command) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert run["backend"] == "mast3r"
    assert run["photos"]["registered"] == 6
    assert len(run["models"]) == 1
    assert run["models"][0]["mean_track_length"] > 2.5
    scored = sfm_command("eval", finished, scene / "gt.json", "--json")
    # A pixel of the network is two of the photo; matches on whole network pixels would be off by half of one.
    assert json.loads(scored.stdout)["auc"]["3"] > 80


def test_keypoints_lie_between_pixels_of_the_network(finished: Path) -> None:
    with pycolmap.Database.open(finished / "database.db") as database:
        xy = np.vstack(
            [database.read_keypoints(image.image_id)[:, :2] for image in database.read_all_images()]
        )
    on_grid = np.abs((xy - 1.0) % 2.0) < 1e-3
    # In such small photos many matches have too few neighbours to be more exact than a pixel.
    assert np.mean(~on_grid.all(axis=1)) > 0.3


def test_the_same_command_again_computes_nothing(
    scene: Path, finished: Path, tmp_path: Path, sfm_command: Command
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out, symlinks=True)
    again = sfm_command("run", scene / "images", "-o", out, *OPTIONS, f"internal.mast3r.oracle={scene}")
    assert again.returncode == 0, again.stderr
    assert all(pair["cached"] for pair in pairs(out))
    assert_same_model(finished, out)


def test_a_killed_run_continues_to_the_same_model(
    scene: Path, finished: Path, kill: Killer, tmp_path: Path, sfm_command: Command
) -> None:
    out = tmp_path / "out"
    command = ("run", scene / "images", "-o", out, *OPTIONS, f"internal.mast3r.oracle={scene}")

    code, _ = kill.run(tmp_path, *command, after="match", event="pair")

    assert code == -signal.SIGKILL
    assert any((out / "cache" / "pairs").glob("*/segment_*"))
    assert sfm_command(*command).returncode == 0
    assert_same_model(finished, out)


def test_added_photos_cost_only_their_own_pairs(scene: Path, tmp_path: Path, sfm_command: Command) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    names = sorted(path.name for path in (scene / "images").iterdir())
    photos.mkdir()
    for name in names[:5]:
        shutil.copy(scene / "images" / name, photos)
    command = ("run", photos, "-o", out, *OPTIONS, f"internal.mast3r.oracle={scene}")
    assert sfm_command(*command).returncode == 0
    with pycolmap.Database.open(out / "database.db") as database:
        before = {i.name: database.read_keypoints(i.image_id) for i in database.read_all_images()}
    shutil.copy(scene / "images" / names[5], photos)
    assert sfm_command(*command).returncode == 0
    fresh = [pair for pair in pairs(out) if not pair["cached"]]
    assert fresh
    assert all(names[5] in (pair["a"], pair["b"]) for pair in fresh)
    with pycolmap.Database.open(out / "database.db") as database:
        for image in database.read_all_images():
            if image.name in before:
                kept = database.read_keypoints(image.image_id)[: len(before[image.name])]
                assert np.array_equal(kept, before[image.name])


def corners_held(out: Path) -> int:
    """Keypoints that lie on corners, of all photos."""
    with (
        pycolmap.Database.open(out / "cache" / "corners.db") as found,
        pycolmap.Database.open(out / "database.db") as database,
    ):
        return sum(
            len(
                set.intersection(
                    *(
                        {tuple(xy) for xy in np.round(db.read_keypoints(at.image_id)[:, :2], 2)}
                        for db, at in ((found, found.read_image_with_name(image.name)), (database, image))
                    )
                )
            )
            for image in database.read_all_images()
        )


def test_a_photo_that_the_network_cannot_take_is_left_out_and_corners_hold_the_others(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(scene / "images", photos)
    Image.new("RGB", (640, 40), "grey").save(photos / "strip.jpg")
    options = (*OPTIONS, f"internal.mast3r.oracle={scene}", "mast3r.snap_to_sift=true")
    done = sfm_command("run", photos, "-o", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    held = corners_held(tmp_path / "out")
    assert held > 40  # of those that lie within a pixel of a corner; by chance next to none
    (outcome,) = (
        outcome
        for outcome in json.loads((tmp_path / "out" / "run.json").read_text())["outcomes"]
        if outcome["name"] == "strip.jpg"
    )
    assert outcome["status"] == "skipped"
    assert "640 x 40" in outcome["reason"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["mast3r.weights_dir=nowhere"], 4, "weights not found"),
        (["internal.mast3r.oracle=nowhere"], 3, "nowhere"),
    ],
)
def test_missing_weights_are_named(
    options: list[str], code: int, message: str, few_photos: Path, tmp_path: Path, sfm_command: Command
) -> None:
    done = sfm_command("run", few_photos, "-o", tmp_path / "out", "backend=mast3r", *options)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
