"""Cameras of their own for photos that contradict the one they share."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pycolmap
import pytest
from PIL import ExifTags, Image

import sfm
from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config, ExportConfig, RetrievalConfig, RunConfig, SiftConfig
from sfm.loop import LoopResult, Models
from sfm.mapping import WrongCamera
from sfm.mapping.problem import MappingProblem
from sfm.mapping.registrar import MappingResult, reconstruct
from sfm.stages.register import match_edges
from sfm.stages.split_cameras import continuable, other_cameras, with_splits
from sfm.stages.stages import registered
from sfm.types import CameraSpec, Collection, Exif, Photo

SHARED = CameraSpec(1, "SIMPLE_RADIAL", 640, 480, (768.0, 320.0, 240.0, 0.0), False)
OPENCV = CameraSpec(2, "OPENCV", 640, 480, (768.0, 768.0, 320.0, 240.0, 0.0, 0.0, 0.0, 0.0), False)
KNOWN = CameraSpec(3, "PINHOLE", 640, 480, (700.0, 701.0, 320.0, 240.0), True, fixed=True)


def photo(name: str, camera_id: int, content: str = "x") -> Photo:
    return Photo(name, Path(name), Path(name), content, 640, 480, 1, camera_id, Exif())


COLLECTION = Collection(
    tuple(
        photo(f"{camera.model}{i}", camera.camera_id) for camera in (SHARED, OPENCV, KNOWN) for i in (0, 1)
    ),
    {camera.camera_id: camera for camera in (SHARED, OPENCV, KNOWN)},
)


def remember(folder: Path, collection: Collection, focal_px: dict[str, float]) -> None:
    content = {p.name: p.sha256 for p in collection.photos}
    entries = {name: {"sha256": content[name], "focal_px": focal} for name, focal in focal_px.items()}
    (folder / "camera_splits.json").write_text(json.dumps(entries))


def test_a_remembered_photo_gets_a_camera_of_its_own(tmp_path: Path) -> None:
    remember(tmp_path, COLLECTION, {"SIMPLE_RADIAL1": 1500.0, "OPENCV0": 400.0})

    split = with_splits(COLLECTION, tmp_path)

    camera_of = {p.name: split.cameras[p.camera_id] for p in split.photos}
    assert camera_of["SIMPLE_RADIAL1"].params == (1500.0, 320.0, 240.0, 0.0)
    assert camera_of["OPENCV0"].params == (400.0, 400.0, 320.0, 240.0, 0.0, 0.0, 0.0, 0.0)
    assert camera_of["SIMPLE_RADIAL0"] == SHARED
    assert len(split.cameras) == 5


def test_a_remembered_crop_gets_a_camera_whose_focal_length_is_a_guess_whatever_exif_says(
    tmp_path: Path,
) -> None:
    """Cropping leaves the focal length in the file as it was."""
    exif = replace(SHARED, has_prior_focal_length=True)
    collection = Collection((photo("one", 1), photo("other", 1)), {1: exif})
    entry = {"sha256": "x", "focal_px": 700.0, "principal_point": {"x": 400.5, "y": 200.0}}
    (tmp_path / "camera_splits.json").write_text(json.dumps({"one": entry}))

    split = with_splits(collection, tmp_path)

    cropped, whole = (split.cameras[p.camera_id] for p in split.photos)
    assert whole == exif
    assert cropped.params == (700.0, 400.5, 200.0, 0.0)
    assert cropped.cropped
    assert not cropped.has_prior_focal_length
    assert split.cropped_cameras == {cropped.camera_id}


def test_photos_of_one_remembered_focal_length_share_a_camera(tmp_path: Path) -> None:
    several = Collection(tuple(photo(f"{i}", 1) for i in range(5)), {1: SHARED})
    remember(tmp_path, several, {"1": 1500.0, "3": 1500.0, "4": 900.0})

    split = with_splits(several, tmp_path)

    assert [p.camera_id for p in split.photos] == [1, 2, 1, 2, 3]
    assert [split.cameras[i].split_from for i in (1, 2, 3)] == [None, 1, 1]


@pytest.mark.parametrize("name", ["PINHOLE0", "gone"])
def test_known_cameras_and_unknown_photos_stay_as_they_are(name: str, tmp_path: Path) -> None:
    others = Collection((*COLLECTION.photos, photo("gone", 1)), COLLECTION.cameras)
    remember(tmp_path, others, {name: 100.0})

    assert with_splits(COLLECTION, tmp_path) == COLLECTION


def test_a_photo_that_changed_is_forgotten(tmp_path: Path) -> None:
    remember(tmp_path, COLLECTION, {"OPENCV0": 400.0})
    changed = tuple(photo(p.name, p.camera_id, "y") for p in COLLECTION.photos)

    assert with_splits(Collection(changed, COLLECTION.cameras), tmp_path).cameras == COLLECTION.cameras


def test_photos_of_an_extended_model_keep_their_cameras_where_new_ones_get_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["crop", "new", "old"]
    crop = {"sha256": "x", "focal_px": 700.0, "principal_point": {"x": 400.5, "y": 200.0}}
    (tmp_path / "camera_splits.json").write_text(json.dumps({"crop": crop}))
    collection = with_splits(Collection(tuple(photo(name, 1) for name in names), {1: SHARED}), tmp_path)
    zoomed = WrongCamera("new", 1500.0, error_px=0.5, error_shared_px=2.0)
    monkeypatch.setattr("sfm.stages.split_cameras.find_wrong_cameras", lambda *_, **__: [zoomed])
    session: Any = SimpleNamespace(config=Config(), workspace=SimpleNamespace(cache=tmp_path))

    found = other_cameras(
        session, collection, FeatureDatabase(tmp_path / "database.db"), (model_of(names),), among={"new"}
    )

    assert found is not None
    before = {p.name: p.camera_id for p in collection.photos}
    after = {p.name: p.camera_id for p in found.collection.photos}
    assert [name for name in names if after[name] != before[name]] == ["new"]
    assert found.collection.cameras[after["new"]].params[0] == 1500.0
    assert found.entries.keys() == {"crop", "new"}


def model_of(names: list[str]) -> pycolmap.Reconstruction:
    """Registered images without points."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera(camera_id=1, model="SIMPLE_RADIAL", width=640, height=480, params=SHARED.params)
    model.add_camera_with_trivial_rig(camera)
    for image_id, name in enumerate(names, start=1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=image_id)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    return model


def test_only_models_of_which_more_than_a_few_photos_change_are_begun_anew(tmp_path: Path) -> None:
    """Of one folder's sets, those without wrong cameras need not be registered again for the others."""
    sets = [[f"{name}{i}" for i in range(20)] for name in "abc"]
    collection = Collection(tuple(photo(name, 1) for names in sets for name in names), {1: SHARED})
    remember(tmp_path, collection, dict.fromkeys(["b3", "b4", "c7"], 1500.0))
    better = with_splits(collection, tmp_path)

    kept = continuable([model_of(names) for names in sets], collection, better)

    assert [{image.name for image in model.images.values()} for model in kept] == [
        {*sets[0]},
        {*sets[2]} - {"c7"},
    ]


def photos_of_which_one_is_zoomed(
    demo_data: Path, photos: Path, *, count: int = 8, film_mm: int | None = None
) -> Path:
    """Write photos; one is a middle crop, enlarged like one of 2.5 times the focal length.

    With `film_mm` all have that focal length of 35 mm film in EXIF.
    """
    photos.mkdir()
    exif = Image.Exif()
    if film_mm is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = film_mm
    for path in sorted((demo_data / "images").iterdir())[:count]:
        with Image.open(path) as picture:
            picture.save(photos / path.name, quality=95, exif=exif)
    zoomed = sorted(photos.iterdir())[4]
    picture = Image.open(zoomed)
    width, height = picture.size
    middle = picture.crop((width * 3 // 10, height * 3 // 10, width * 7 // 10, height * 7 // 10))
    middle.resize((width, height), Image.Resampling.LANCZOS).save(zoomed, quality=95, exif=exif)
    return zoomed


CONFIG = Config(
    backend="sift",
    run=RunConfig(threads=1),
    sift=SiftConfig(max_num_features=3000),
    export=ExportConfig(report=False),
)


@pytest.mark.parametrize("has_exif", [False, True])
def test_a_zoomed_photo_is_split_off_in_a_run(has_exif: bool, demo_data: Path, tmp_path: Path) -> None:
    """Editors leave the focal length of the whole photo in EXIF."""
    photos = tmp_path / "photos"
    camera = json.loads((demo_data / "gt.json").read_text())["cameras"]["photo_00.jpg"]
    film_mm = round(36 * camera["params"][0] / camera["width"]) if has_exif else None
    zoomed = photos_of_which_one_is_zoomed(demo_data, photos, film_mm=film_mm)

    model = sfm.run(photos, output=tmp_path / "out", config=CONFIG).reconstruction

    assert model is not None
    focal = {image.name: model.camera(image.camera_id).mean_focal_length() for image in model.images.values()}
    others = [value for name, value in focal.items() if name != zoomed.name]
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert [e["name"] for e in events if e["event"] == "camera_split"] == [zoomed.name]
    assert len(set(others)) == 1
    assert focal[zoomed.name] == pytest.approx(2.5 * others[0], rel=0.05)

    again = sfm.run(photos, output=tmp_path / "out", config=CONFIG).reconstruction

    assert again is not None
    assert {image.name: again.camera(image.camera_id).params.tolist() for image in again.images.values()} == {
        image.name: model.camera(image.camera_id).params.tolist() for image in model.images.values()
    }
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert [e for e in events if e["event"] == "camera_split"] == []


def test_models_are_continued_where_few_photos_are_split_off(demo_data: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    zoomed = photos_of_which_one_is_zoomed(demo_data, photos, count=22)

    model = sfm.run(photos, output=out, config=CONFIG).reconstruction

    assert model is not None
    assert len(model.reg_image_ids()) == 22
    (start,) = (out / "cache" / "rounds").glob("*/start")
    assert zoomed.name not in {image.name for image in pycolmap.Reconstruction(start / "0").images.values()}
    focal = {image.name: model.camera(image.camera_id).mean_focal_length() for image in model.images.values()}
    shared = next(value for name, value in focal.items() if name != zoomed.name)
    assert focal[zoomed.name] == pytest.approx(2.5 * shared, rel=0.05)

    again = sfm.run(photos, output=out, config=CONFIG).reconstruction

    assert again is not None
    assert {image.name: again.camera(image.camera_id).params.tolist() for image in again.images.values()} == {
        image.name: model.camera(image.camera_id).params.tolist() for image in model.images.values()
    }


def matching_one_more(*arguments: Any, start: Models = ()) -> LoopResult:
    """`registered` that matches a further pair where a photo has a camera of its own."""
    session, collection, database, *_ = arguments
    loop = registered(*arguments, start=start)
    for ends in combinations(sorted(collection.names), 2) if len(collection.cameras) > 1 else ():
        more = {Pair(*ends): Edge(0.0, Reason.LOOP, 1)} if ends not in loop.scene_graph.edges else {}
        if more and match_edges(session, collection, database, more).verified:
            return replace(loop, scene_graph=loop.scene_graph.merged(more))
    return loop


def test_cameras_stand_where_models_with_others_are_less_likely_right(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos_of_which_one_is_zoomed(demo_data, photos, count=14)
    monkeypatch.setattr("sfm.pipelines.right_cameras.gain_of", lambda after, before: -0.1)
    monkeypatch.setattr("sfm.pipelines.right_cameras.registered", matching_one_more)

    config = replace(CONFIG, retrieval=RetrievalConfig(exhaustive_max_photos=2))
    model = sfm.run(photos, output=out, config=config).reconstruction

    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    (refused,) = [e for e in events if e["event"] == "step_refused" and e["step"] == "other cameras"]
    assert "less likely right than those before (log ratio -0.10)" in refused["why"]
    registrations = [e for e in events if (e["stage"], e["event"]) == ("register", "stage")]
    assert len(registrations) == 2  # finished models stand
    verified = sum(record.verified for record in FeatureDatabase(out / "database.db").pairs().values())
    assert verified == json.loads((out / "run.json").read_text())["pairs"]["verified"]
    assert model is not None
    assert len(model.cameras) == 1
    assert json.loads((out / "cache" / "camera_splits.json").read_text()) == {}
    assert json.loads((out / "run.json").read_text())["failures"] == []


def with_two_cameras_failing(problem: MappingProblem, **arguments: Any) -> MappingResult:
    """`reconstruct` that fails once a photo has another camera."""
    with pycolmap.Database.open(problem.database) as database:
        if database.num_cameras() > 1:
            raise FloatingPointError("the other cameras are bad")
    return reconstruct(problem, **arguments)


def failed_with_one_camera(out: Path) -> pycolmap.Reconstruction:
    """The model of a run that failed with other cameras, and stands with those before in all files."""
    failures = json.loads((out / "run.json").read_text())["failures"]
    assert [failure["step"] for failure in failures] == ["registration with other cameras"]
    assert json.loads((out / "cache" / "camera_splits.json").read_text()) == {}
    with pycolmap.Database.open(out / "database.db") as database:
        assert database.num_cameras() == 1
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    assert len(model.cameras) == 1
    return model


def test_models_stand_where_registration_with_other_cameras_fails(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos_of_which_one_is_zoomed(demo_data, photos)

    monkeypatch.setattr("sfm.stages.register.reconstruct", with_two_cameras_failing)

    sfm.run(photos, output=tmp_path / "out", config=CONFIG)

    assert len(failed_with_one_camera(tmp_path / "out").reg_image_ids()) >= 7


def test_an_extended_model_stands_where_registration_with_other_cameras_fails(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, new = tmp_path / "photos", tmp_path / "new"
    zoomed = photos_of_which_one_is_zoomed(demo_data, photos)
    new.mkdir()
    zoomed.rename(new / zoomed.name)
    sfm.run(photos, output=tmp_path / "model", config=CONFIG)
    monkeypatch.setattr("sfm.stages.register.reconstruct", with_two_cameras_failing)

    sfm.extend(tmp_path / "model", new, output=tmp_path / "out")

    assert len(failed_with_one_camera(tmp_path / "out").reg_image_ids()) >= 7


def test_photos_cropped_anywhere_are_registered_where_they_were_taken(
    demo_data: Path, tmp_path: Path
) -> None:
    """Crops have principal points of their own; without these, poses are off by degrees."""
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    photos.mkdir()
    for path in sorted((demo_data / "images").iterdir())[:8]:
        with Image.open(path) as picture:
            size = np.array(picture.size)
            x, y = (rng.random(2) * 0.3 * size).astype(int)
            width, height = (0.7 * size).astype(int)
            picture.crop((x, y, x + width, y + height)).save(photos / path.name, quality=95)
    config = Config(
        run=RunConfig(threads=2), sift=SiftConfig(max_num_features=2000), export=ExportConfig(report=False)
    )

    result = sfm.run(photos, output=tmp_path / "out", config=config)

    assert result.reconstruction is not None
    assert len(result.reconstruction.reg_image_ids()) == 8
    poses = json.loads((demo_data / "gt.json").read_text())["images"]
    truth = {path.name: poses[path.name] for path in photos.iterdir()}
    (tmp_path / "gt.json").write_text(json.dumps({"images": truth}))
    figures = sfm.evaluate(tmp_path / "out", tmp_path / "gt.json").overall
    assert figures.auc[5] > 60
    entries = json.loads((tmp_path / "out" / "cache" / "camera_splits.json").read_text())
    assert all("principal_point" in entry for entry in entries.values())
    assert len(entries) == 8


def test_stretched_photos_are_registered_where_they_were_taken(demo_data: Path, tmp_path: Path) -> None:
    """As frames of video with pixels that are wider than high."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted((demo_data / "images").iterdir())[:8]:
        with Image.open(path) as picture:
            width, height = picture.size
            picture.resize((round(0.75 * width), height), Image.Resampling.LANCZOS).save(
                photos / path.name, quality=95
            )
    config = Config(
        run=RunConfig(threads=2), sift=SiftConfig(max_num_features=2000), export=ExportConfig(report=False)
    )

    result = sfm.run(photos, output=tmp_path / "out", config=config)

    assert result.reconstruction is not None
    (camera,) = result.reconstruction.cameras.values()
    assert camera.focal_length_y / camera.focal_length_x == pytest.approx(1 / 0.75, rel=0.02)
    poses = json.loads((demo_data / "gt.json").read_text())["images"]
    truth = {path.name: poses[path.name] for path in photos.iterdir()}
    (tmp_path / "gt.json").write_text(json.dumps({"images": truth}))
    assert sfm.evaluate(tmp_path / "out", tmp_path / "gt.json").overall.auc[5] > 80


def test_remembered_stretched_photos_share_a_camera_of_two_focal_lengths(tmp_path: Path) -> None:
    collection = Collection(
        (photo("0", 1), photo("1", 1)),
        {1: CameraSpec(1, "SIMPLE_RADIAL", 80, 60, (70.0, 40, 30, 0.1), False)},
    )
    entries = {name: {"sha256": "x", "focal_px": 90.0, "aspect": 1.25} for name in "01"}
    (tmp_path / "camera_splits.json").write_text(json.dumps(entries))

    split = with_splits(collection, tmp_path)

    assert {one.camera_id for one in split.photos} == {2}
    camera = split.cameras[2]
    assert (camera.model, camera.split_from, camera.cropped) == ("OPENCV", 1, False)
    assert camera.params == pytest.approx((80, 100, 40, 30, 0.1, 0, 0, 0))
