"""Photos added to a run's model and to COLMAP's own, on a few photos of the rendered scene."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

import sfm
from sfm.config.loading import load_config
from sfm.errors import InputError, WorkspaceError
from sfm.mapping.scene.camera_models import as_model
from sfm.types import PhotoStatus
from tests.model_agreement import compare_models

QUICK = ("backend=sift", "run.threads=2", "sift.max_num_features=1500", "export.report=false")


@pytest.fixture(scope="module")
def photos(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old` with seven photos, and `new` with two that follow them."""
    folder = tmp_path_factory.mktemp("photos")
    for number, path in enumerate(sorted((demo_data / "images").iterdir())[:9]):
        place = folder / ("new" if number >= 7 else "old") / path.name
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
    return folder


@pytest.fixture(scope="module")
def old(photos: Path) -> Path:
    """OUT of a run over the old photos."""
    out = photos / "run"
    assert sfm.run(photos / "old", output=out, config=load_config(overrides=QUICK)).run.status == "ok"
    return out


def model(out: Path) -> pycolmap.Reconstruction:
    return pycolmap.Reconstruction(out / "sparse" / "0")


def numbers(some: pycolmap.Reconstruction) -> dict[str, list[float]]:
    """Pose and intrinsics of each photo."""
    return {
        image.name: [
            *image.cam_from_world().rotation.quat.tolist(),
            *image.cam_from_world().translation.tolist(),
            *some.camera(image.camera_id).params,
        ]
        for image in some.images.values()
    }


def places(some: pycolmap.Reconstruction) -> set[tuple[float, ...]]:
    return {tuple(point.xyz.tolist()) for point in some.points3D.values()}


def contents(folder: Path) -> dict[str, bytes]:
    """All files, without those that SQLite keeps beside a database while somebody reads it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in files if path.suffix not in (".db-shm", ".db-wal")}


@pytest.mark.slow
def test_a_run_is_extended_with_its_own_options_and_left_alone(
    photos: Path, old: Path, tmp_path: Path
) -> None:
    before = contents(old)

    done = sfm.extend(old, photos / "new", output=tmp_path / "out")

    assert [outcome.status for outcome in done.added] == [PhotoStatus.REGISTERED] * 2
    assert model(tmp_path / "out").num_reg_images() == 9
    assert contents(old) == before
    matched = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    names = {path.name for path in (photos / "new").iterdir()}
    tried = [e for e in matched if e["event"] == "pair" and not e["cached"]]
    assert tried
    assert all(names & {event["a"], event["b"]} for event in tried)
    said = json.loads((tmp_path / "out" / "extension.json").read_text())
    assert (said["registered"], said["apart"]) == (2, [])


@pytest.mark.slow
def test_a_free_result_stays_in_the_frame_of_the_model(photos: Path, old: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(old, moved, symlinks=True)
    turned = model(old)
    turned.transform(pycolmap.Sim3d(7.0, pycolmap.Rotation3d(), np.array([100.0, 0.0, -30.0])))
    turned.write(moved / "sparse" / "0")

    sfm.extend(moved, photos / "new", output=tmp_path / "out")

    after = {image.name: image.projection_center() for image in model(tmp_path / "out").images.values()}
    for image in turned.images.values():
        assert np.linalg.norm(after[image.name] - image.projection_center()) < 7.0 * 0.02


def test_frozen_poses_come_out_bit_by_bit_and_a_second_call_changes_nothing(
    photos: Path, old: Path, tmp_path: Path
) -> None:
    done = sfm.extend(old, photos / "new", output=tmp_path / "out", frozen=True)
    first = numbers(model(tmp_path / "out"))
    sfm.extend(old, photos / "new", output=tmp_path / "out", frozen=True)

    assert done.num_registered == 2
    assert numbers(model(old)).items() <= first.items()
    assert numbers(model(tmp_path / "out")) == first


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_a_camera_that_is_richer_in_the_model_than_in_the_database_stays_so(
    photos: Path, old: Path, tmp_path: Path, frozen: bool
) -> None:
    richer = shutil.copytree(old, tmp_path / "richer", symlinks=True)
    changed = model(old)
    for camera in changed.cameras.values():
        wide = as_model(camera, "OPENCV")
        camera.model, camera.params = wide.model, list(wide.params)
    changed.write(richer / "sparse" / "0")

    done = sfm.extend(richer, photos / "new", output=tmp_path / "out", frozen=frozen)

    after = model(tmp_path / "out")
    assert done.num_registered == 2
    assert {camera.model_name for camera in after.cameras.values()} == {"OPENCV"}
    assert not frozen or numbers(changed).items() <= numbers(after).items()


@pytest.mark.slow
def test_a_model_of_colmap_keeps_its_points_with_its_photos_described_anew(
    photos: Path, old: Path, tmp_path: Path
) -> None:
    theirs = shutil.copytree(old / "sparse" / "0", tmp_path / "theirs")

    done = sfm.extend(
        theirs,
        photos / "new",
        output=tmp_path / "out",
        frozen=True,
        images=photos / "old",
        config=load_config(overrides=QUICK),
    )

    before, after = model(old), model(tmp_path / "out")
    assert done.num_registered == 2
    assert numbers(before).items() <= numbers(after).items()
    assert places(before) <= places(after)


@pytest.mark.slow
def test_a_database_spares_describing_the_photos_of_the_model(
    photos: Path, old: Path, tmp_path: Path
) -> None:
    theirs = shutil.copytree(old / "sparse" / "0", tmp_path / "theirs")

    done = sfm.extend(
        theirs,
        photos / "new",
        output=tmp_path / "out",
        images=photos / "old",
        database=old / "database.db",
        config=load_config(overrides=QUICK),
    )

    described = next(stage for stage in done.result.run.stages if stage.stage == "describe")
    assert described.counts["described"] == 2
    assert done.num_registered == 2
    assert compare_models(model(old), model(tmp_path / "out")).max_centre_difference < 0.01


@pytest.mark.slow
def test_a_database_of_other_photos_is_refused(photos: Path, old: Path, tmp_path: Path) -> None:
    theirs = shutil.copytree(old / "sparse" / "0", tmp_path / "theirs")
    other = tmp_path / "other.db"
    shutil.copy(old / "database.db", other)
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("UPDATE images SET name = 'other-' || name")

    with pytest.raises(InputError, match=r"other\.db has the keypoints of none of the model's photos"):
        sfm.extend(theirs, photos / "new", output=tmp_path / "out", images=photos / "old", database=other)


@pytest.mark.slow
def test_photos_in_the_model_and_equal_names_are_told(
    photos: Path, old: Path, tmp_path: Path, demo_data: Path
) -> None:
    again = min((photos / "old").iterdir())
    added = tmp_path / "trip"
    added.mkdir()
    shutil.copy(again, added / "renamed.jpg")
    shutil.copy(min((photos / "new").iterdir()), added / again.name)

    done = sfm.extend(old, added, output=tmp_path / "out")

    outcomes = {outcome.name: outcome for outcome in done.added}
    assert outcomes["renamed.jpg"].reason == f"same content as {again.name}"
    assert outcomes[f"trip/{again.name}"].status is PhotoStatus.REGISTERED


@pytest.mark.slow
def test_photos_without_positions_are_added_to_a_run_that_asked_for_them(
    photos: Path, old: Path, tmp_path: Path
) -> None:
    """As the preset `drone` does; runs of such photos choose pairs by similarity, too."""
    config = load_config(overrides=(*QUICK, "retrieval.mode=spatial"))

    done = sfm.extend(old, photos / "new", output=tmp_path / "out", config=config)

    assert done.num_registered == 2


@pytest.mark.slow
@pytest.mark.parametrize("gain", [None, -0.1], ids=["as measured", "less likely right"])
def test_a_zoomed_photo_gets_a_camera_of_its_own(
    gain: float | None, photos: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless models with it are less likely right."""
    if gain is not None:
        monkeypatch.setattr("sfm.pipelines.right_cameras.gain_of", lambda after, before: gain)
    folder = tmp_path / "new"
    shutil.copytree(photos / "new", folder)
    first = min(folder.iterdir())
    with Image.open(first) as photo:
        width, height = photo.size
        middle = photo.crop((width // 8, height // 8, width - width // 8, height - height // 8))
    middle.resize((width, height), Image.Resampling.LANCZOS).save(first, quality=95)

    sfm.extend(old, folder, output=tmp_path / "out")

    after = model(tmp_path / "out")
    images = {image.name: image for image in after.images.values()}
    zoomed, plain = (after.camera(images[path.name].camera_id) for path in sorted(folder.iterdir()))
    if gain is not None:
        assert zoomed.camera_id == plain.camera_id
        return
    assert zoomed.camera_id != plain.camera_id
    assert abs(zoomed.mean_focal_length() / plain.mean_focal_length() / (4 / 3) - 1) < 0.05


@pytest.mark.slow
def test_a_photo_of_elsewhere_is_left_out_with_the_reason(photos: Path, old: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    shutil.copytree(photos / "new", folder)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")

    done = sfm.extend(old, folder, output=tmp_path / "out")

    (stray,) = [outcome for outcome in done.added if outcome.name == "noise.png"]
    assert done.num_registered == 2
    assert stray.status is PhotoStatus.NOT_REGISTERED
    assert "verified" in stray.reason or "match" in stray.reason


def test_what_cannot_be_extended_is_named(photos: Path, old: Path, tmp_path: Path) -> None:
    theirs = shutil.copytree(old / "sparse" / "0", tmp_path / "theirs")
    broken = shutil.copytree(old / "sparse" / "0", tmp_path / "broken")
    points = (broken / "points3D.bin").read_bytes()
    (broken / "points3D.bin").write_bytes(points[: len(points) // 2])
    (tmp_path / "empty").mkdir()
    new, out = photos / "new", tmp_path / "out"

    for given, images, message in (
        (tmp_path / "none", None, "does not exist"),
        (tmp_path / "empty", None, "holds no COLMAP model"),
        (theirs, None, "without its photos"),
        (theirs, new, "7 of the model's 7 photos are missing"),
        (broken, photos / "old", "points3D.bin is truncated"),
    ):
        with pytest.raises(InputError, match=message):
            sfm.extend(given, new, output=out, images=images)
    with pytest.raises(InputError, match="no new photo"):
        sfm.extend(old, photos / "old", output=out)
    with pytest.raises(InputError, match="described with other options"):
        sfm.extend(old, new, output=tmp_path / "other", config=load_config())
    with pytest.raises(WorkspaceError, match="is the input itself"):
        sfm.extend(old, new, output=old)


def test_missing_photos_of_a_run_are_named(photos: Path, old: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(old, tmp_path / "moved", symlinks=True)
    lost = min((moved / "images").iterdir())
    lost.unlink()
    lost.symlink_to(tmp_path / "gone.jpg")

    with pytest.raises(InputError, match=r"1 of the model's 7 photos are missing: .*gone.jpg"):
        sfm.extend(moved, photos / "new", output=tmp_path / "out")
