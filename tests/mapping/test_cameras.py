from collections.abc import Collection, Mapping
from itertools import combinations
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pycolmap
import pytest

from sfm.mapping import WrongCamera, find_wrong_cameras, stretched, with_focal_length
from sfm.mapping.cameras.cropped_images import CroppedImage, cropped_images
from sfm.mapping.cameras.pair_support import pairs_support
from sfm.mapping.cameras.stretched_images import stretched_images
from sfm.mapping.scene.scene import Scene

from .running import run

NUM_POINTS = 400
ZOOMED = 6


def photograph(
    path: Path,
    *,
    zoom: float = 1.0,
    zoomed: Collection[int] = (ZOOMED,),
    apart: Collection[int] = (),
    breathing: float = 0,
    ramp: float = 0,
    noise_px: float = 0.3,
    principal_points: Mapping[int, tuple[float, float]] = MappingProxyType({}),
    aspect: float = 1.0,
    roll: float = 0.0,
) -> Path:
    """Eight photos that claim one camera of unknown focal length; some of them were taken with `zoom`.

    Those `apart` claim a second camera, all a principal point in the middle. Focal lengths change from one to
    the next by twice `breathing`, and grow by `ramp`. The `aspect` of pixels is fy / fx. The `roll` of photos
    is none, once and twice this, rad, by turns.
    """
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-1, 1, size=(NUM_POINTS, 3)) * (1.5, 1, 1.5)
    with pycolmap.Database.open(path) as db:
        camera = pycolmap.Camera.create_from_model_id(
            1, pycolmap.CameraModelId.SIMPLE_RADIAL, 900.0, 1024, 768
        )
        db.write_camera(camera, use_camera_id=True)
        camera.camera_id = 2
        db.write_camera(camera, use_camera_id=True)
        for image_id in range(1, 9):
            focal_px = 1000 * (zoom if image_id in zoomed else 1)
            focal_px *= (1 + breathing * (-1) ** image_id) * (1 + ramp) ** (image_id - 4)
            lens = pycolmap.Camera.create_from_model_id(
                1, pycolmap.CameraModelId.SIMPLE_RADIAL, focal_px, 1024, 768
            )
            lens.principal_point_x, lens.principal_point_y = principal_points.get(image_id, (512, 384))
            lens = stretched(lens, aspect)
            pose = pycolmap.Rigid3d(
                pycolmap.Rotation3d(
                    np.array([0.05 * (image_id % 3), 0.15 * image_id - 0.6, roll * (image_id % 3)])
                ),
                np.array([0.1, 0.05, 6 + 0.1 * image_id]),
            )
            xy = lens.img_from_cam(pose * xyz) + rng.normal(scale=noise_px, size=(NUM_POINTS, 2))
            camera_id = 2 if image_id in apart else 1
            image = pycolmap.Image(name=f"{image_id}.jpg", camera_id=camera_id, image_id=image_id)
            db.write_image(image, use_image_id=True)
            db.write_keypoints(image_id, xy.astype(np.float32))
        for pair in combinations(range(1, 9), 2):
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = 3
            geometry.inlier_matches = np.tile(np.arange(NUM_POINTS, dtype=np.uint32)[:, None], 2)
            db.write_two_view_geometry(*pair, geometry)
    return path


def foreign(database: Path) -> list[WrongCamera]:
    models = run(database).models
    assert models
    return find_wrong_cameras(database, models, {1: 1}, seed=0)


@pytest.mark.parametrize("zoom", [0.6, 1.35, 1.7])
@pytest.mark.parametrize("zoomed", [(ZOOMED,), (2, 5, 8), (2, 4, 6, 8)])
def test_zoomed_photos_contradict_the_shared_focal_length(
    tmp_path: Path, zoom: float, zoomed: tuple[int, ...]
) -> None:
    found = foreign(photograph(tmp_path / "database.db", zoom=zoom, zoomed=zoomed))

    names = {f"{i}.jpg" for i in zoomed}
    others = {f"{i}.jpg" for i in range(1, 9)} - names
    focal = zoom if {photo.name for photo in found} == names else 1.0
    assert {photo.name for photo in found} in ([names, others] if len(zoomed) == 4 else [names])
    assert len({photo.focal_px for photo in found}) == 1
    assert found[0].focal_px == pytest.approx(1000 * focal, rel=0.05)
    assert found[0].error_px < found[0].error_shared_px


def test_pairs_support_true_intrinsics_alone(tmp_path: Path) -> None:
    """As in a bent model, where wrong focal lengths explain single photos better."""
    scene = Scene.open(photograph(tmp_path / "database.db", zoom=1.7))
    shared = {name: pycolmap.Camera(scene.cache.camera(1).todict()) for name in scene.id_of}
    for camera in shared.values():
        camera.params = [1000.0, 512.0, 384.0, 0.0]

    def with_focal(number: int, focal_px: float) -> dict[str, pycolmap.Camera]:
        camera = pycolmap.Camera(shared[f"{number}.jpg"].todict())
        camera.params = [focal_px, 512.0, 384.0, 0.0]
        return {**shared, f"{number}.jpg": camera}

    other = ZOOMED % 8 + 1
    for number, focal_px, supported in ((ZOOMED, 1700, True), (ZOOMED, 600, False), (other, 1250, False)):
        own = with_focal(number, focal_px)
        assert pairs_support(scene, [f"{number}.jpg"], own, shared, 0) == supported


def test_a_crop_that_pairs_do_not_support_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = photograph(tmp_path / "database.db")
    crops = [CroppedImage(3, 1000.0, (700.0, 250.0), 0.3, 0.5, True)]
    monkeypatch.setattr("sfm.mapping.cameras.wrong_cameras.cropped_images", lambda model, cameras: crops)

    assert foreign(database) == []


def test_zooms_are_no_crops_where_focal_lengths_explain_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single photos of a model that a zoom bends ask for principal points of their own, too."""
    database = photograph(tmp_path / "database.db", zoom=1.7)
    crops = [CroppedImage(ZOOMED % 8 + 1, 1000.0, (550.0, 350.0), 0.4, 0.5, True)]
    monkeypatch.setattr("sfm.mapping.cameras.wrong_cameras.cropped_images", lambda model, cameras: crops)

    found = foreign(database)

    assert [(photo.name, photo.principal_point) for photo in found] == [(f"{ZOOMED}.jpg", None)]


def test_photos_whose_focal_lengths_hardly_differ_share_a_camera(tmp_path: Path) -> None:
    """Although one of them was zoomed, and a focal length for each explains the others better."""
    found = foreign(photograph(tmp_path / "database.db", zoom=1.7, breathing=0.005, noise_px=0.1))

    assert [photo.name for photo in found] == [f"{ZOOMED}.jpg"]


def test_photos_zoomed_one_by_one_without_a_gap_have_a_camera_each(tmp_path: Path) -> None:
    """Their focal lengths are 4 % apart."""
    found = foreign(photograph(tmp_path / "database.db", zoom=1.0, ramp=0.04))

    assert len(found) == 7
    assert len({photo.focal_px for photo in found}) == 7
    assert all(photo.error_px < 0.95 * photo.error_shared_px for photo in found)
    focal = {int(photo.name.split(".")[0]): photo.focal_px for photo in found}
    assert [focal[i] / focal[8] for i in sorted(focal)] == pytest.approx(
        [1.04 ** (i - 8) for i in sorted(focal)], rel=0.02
    )


def test_a_photo_outside_the_model_is_tested_against_its_points(tmp_path: Path) -> None:
    database = photograph(tmp_path / "database.db", zoom=1.7)
    (model,) = run(photograph(tmp_path / "same.db", zoom=1.0)).models
    model.deregister_frame(model.image(ZOOMED).frame_id)

    (photo,) = find_wrong_cameras(database, [model], {1: 1}, seed=0)

    assert photo.name == f"{ZOOMED}.jpg"
    assert photo.focal_px == pytest.approx(1700, rel=0.05)


def test_photos_of_one_lens_stay_together(tmp_path: Path) -> None:
    assert foreign(photograph(tmp_path / "database.db", zoom=1.0)) == []


def test_photos_of_one_lens_come_together_again(tmp_path: Path) -> None:
    """A camera that was split off without need has the focal length of the others."""
    database = photograph(tmp_path / "database.db", zoom=1.0, apart=(2, 5))

    assert find_wrong_cameras(database, run(database).models, {1: 1, 2: 1}, seed=0) == []


def test_intrinsics_that_somebody_gave_are_not_questioned(tmp_path: Path) -> None:
    database = photograph(tmp_path / "database.db", zoom=1.7)

    assert find_wrong_cameras(database, run(database).models, {}, seed=0) == []


SCATTERED = {
    i: (512.0 + x, 384.0 + y)
    for i, (x, y) in enumerate(
        [(90, -60), (-120, 20), (60, 110), (-40, -90), (130, 70), (-70, 100), (20, -120), (-110, -40)], 1
    )
}


def crops(path: Path, principal_points: Mapping[int, tuple[float, float]]) -> dict[str, WrongCamera]:
    database = photograph(path, principal_points=principal_points)
    found = find_wrong_cameras(database, run(database).models, {1: 1}, seed=0)
    assert all(photo.principal_point for photo in found)
    return {photo.name: photo for photo in found}


def test_crops_of_all_photos_have_principal_points_of_their_own(tmp_path: Path) -> None:
    found = crops(tmp_path / "database.db", SCATTERED)

    assert len(found) == 8
    away = [
        np.linalg.norm(np.subtract(found[f"{i}.jpg"].principal_point, true)) for i, true in SCATTERED.items()
    ]
    assert np.median(away) < 40  # of 110 px; the model that they come from is bent
    assert all(photo.error_px < photo.error_shared_px for photo in found.values())


def test_one_crop_among_photos_that_are_none_is_found(tmp_path: Path) -> None:
    found = crops(tmp_path / "database.db", {3: SCATTERED[3]})

    assert set(found) == {"3.jpg"}
    assert found["3.jpg"].principal_point == pytest.approx(SCATTERED[3], abs=45)


def test_where_most_photos_of_one_size_are_crops_the_others_of_it_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their principal points may happen to be near the middle."""
    database = photograph(tmp_path / "database.db", apart=(3, 5, 8))
    (model,) = run(database).models
    where = dict.fromkeys(range(1, 9), (512.0, 384.0)) | {3: SCATTERED[3], 5: SCATTERED[5], 8: (515.0, 380.0)}
    centred_px = dict.fromkeys(range(1, 9), 0.3) | {3: 1.0, 5: 1.0}
    adjusted = [CroppedImage(i, 1000.0, where[i], 0.3, centred_px[i], True) for i in where]
    monkeypatch.setattr("sfm.mapping.cameras.cropped_images._beside_centred", lambda *_: adjusted)

    of_one_size = {crop.image_id for crop in cropped_images(model, {1: 1, 2: 2})}
    model.camera(2).width = 1020
    of_their_own = {crop.image_id for crop in cropped_images(model, {1: 1, 2: 2})}

    assert of_one_size == {3, 5}
    assert of_their_own == {3, 5, 8}


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_photos_of_a_stabilized_lens_have_principal_points_of_their_own(tmp_path: Path, share: float) -> None:
    """A tenth of the image's sides apart, or less; the focal length is one."""
    middle = np.array([512.0, 384.0])
    true = {i: tuple(middle + share * (np.array(where) - middle)) for i, where in SCATTERED.items()}

    found = crops(tmp_path / "database.db", true)

    assert len(found) == 8
    assert all(photo.error_px < photo.error_shared_px for photo in found.values())
    assert [photo.focal_px for photo in found.values()] == pytest.approx([1000] * 8, rel=0.05)


@pytest.mark.parametrize(
    ("own_px", "zoomed_px", "focal_spread", "num"),
    [(0.3, 0.5, 0.01, 8), (0.55, 0.6, 0.01, 0), (0.3, 0.25, 0.01, 0), (0.3, 0.5, 0.1, 0)],
    ids=["crops", "neither", "zoomed", "of many focal lengths"],
)
def test_all_photos_are_crops_where_one_focal_length_explains_them_and_no_zoom_does_better(
    own_px: float,
    zoomed_px: float,
    focal_spread: float,
    num: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (model,) = run(photograph(tmp_path / "database.db")).models
    focal_px = 1000 * (1 + focal_spread * np.linspace(-1.5, 1.5, 8))

    def adjusted(error_px: float, error_shared_px: float) -> list[CroppedImage]:
        return [
            CroppedImage(i, focal, SCATTERED[i], error_px, error_shared_px, True)
            for i, focal in enumerate(focal_px.tolist(), 1)
        ]

    module = "sfm.mapping.cameras.cropped_images"
    monkeypatch.setattr(f"{module}._beside_shared", lambda *_: adjusted(own_px, 0.6))
    monkeypatch.setattr(f"{module}._beside_centred", lambda *_: adjusted(zoomed_px, zoomed_px))

    assert len(cropped_images(model, {1: 1})) == num


@pytest.mark.parametrize("aspect", [0.75, 0.9, 1.2])
def test_photos_that_were_stretched_share_a_camera_of_two_focal_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aspect: float
) -> None:
    """Each could be explained by a focal length and principal point of its own, all together by pixels."""
    database = photograph(tmp_path / "database.db", aspect=aspect, roll=0.5)
    models = run(database).models
    crops = [CroppedImage(i, 1000.0, SCATTERED[i], 0.5, 0.9, True) for i in models[0].reg_image_ids()]
    monkeypatch.setattr("sfm.mapping.cameras.wrong_cameras.cropped_images", lambda model, cameras: crops)

    found = find_wrong_cameras(database, models, {1: 1}, seed=0)

    assert len(found) == 8
    assert len({(photo.focal_px, photo.aspect, photo.principal_point) for photo in found}) == 1
    assert found[0].aspect == pytest.approx(aspect, rel=0.01)
    assert found[0].focal_px == pytest.approx(1000, rel=0.02)
    assert found[0].principal_point is None


def test_photos_of_square_pixels_are_not_stretched(tmp_path: Path) -> None:
    (model,) = run(photograph(tmp_path / "database.db", roll=0.5)).models

    assert stretched_images(model, {1}) == {}


def test_a_zoomed_photo_takes_no_aspect_from_a_camera_that_only_became_richer(tmp_path: Path) -> None:
    """The last adjustment determines fx and fy apart, which are never quite equal."""
    database = photograph(tmp_path / "database.db", zoom=1.7)
    models = run(database).models
    for camera in models[0].cameras.values():
        wider = stretched(camera, 1.0007)
        camera.model, camera.params = wider.model, wider.params

    (photo,) = find_wrong_cameras(database, models, {1: 1}, seed=0)

    assert (photo.name, photo.aspect) == (f"{ZOOMED}.jpg", 1.0)
    assert photo.focal_px == pytest.approx(1700, rel=0.05)


@pytest.mark.parametrize("aspect", [0.75, 1.0, 1.2])
def test_another_focal_length_keeps_the_aspect_of_pixels(aspect: float) -> None:
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=800, height=600, params=[700, 400, 300, 0.1])

    zoomed = with_focal_length(stretched(camera, aspect), 1400)

    assert zoomed.mean_focal_length() == pytest.approx(1400)
    assert zoomed.focal_length_y / zoomed.focal_length_x == pytest.approx(aspect)
    assert camera.params.tolist() == [700, 400, 300, 0.1]


def test_a_spherical_camera_has_no_focal_length_to_change() -> None:
    camera = pycolmap.Camera(model="EQUIRECTANGULAR", width=800, height=400, params=[800, 400])

    assert with_focal_length(camera, 1400).params.tolist() == [800, 400]


def test_a_camera_of_stretched_photos_keeps_its_mean_focal_length() -> None:
    camera = pycolmap.Camera(model="SIMPLE_RADIAL", width=800, height=600, params=[700, 400, 300, 0.1])

    wide = stretched(camera, 1.25)

    assert wide.model_name == "OPENCV"
    assert wide.focal_length_y / wide.focal_length_x == pytest.approx(1.25)
    assert wide.mean_focal_length() == pytest.approx(700)
    assert wide.params[2:].tolist() == [400, 300, 0.1, 0, 0, 0]
    assert stretched(camera, 1.0).model_name == "SIMPLE_RADIAL"
    fisheye = pycolmap.Camera(model="OPENCV_FISHEYE", width=8, height=6, params=[7, 7, 4, 3, 0, 0, 0, 0])
    assert stretched(fisheye, 1.25).params.tolist() == fisheye.params.tolist()


def test_a_lens_that_is_off_centre_is_no_crop(tmp_path: Path) -> None:
    """All its photos have one principal point; the last adjustment finds it."""
    assert crops(tmp_path / "database.db", dict.fromkeys(SCATTERED, (520.0, 378.0))) == {}
    assert crops(tmp_path / "other.db", {}) == {}
