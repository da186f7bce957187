"""A model goes to where its target says, past photos that contradict it; else it is refused."""

import copy
import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest

import sfm
from sfm.errors import InputError
from sfm.geometry.wgs84 import Place
from tests.mapping import synthetic
from tests.places import geodetic_places

from . import models

ORIGIN = Place(46.5, 7.25, 1200.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    return models.scene(tmp_path_factory.mktemp("align"), num_images=10)


@pytest.fixture
def moved(scene: synthetic.Scene, tmp_path: Path) -> Path:
    model = copy.deepcopy(scene.truth)
    model.transform(models.TURN)
    return models.write(model, tmp_path / "moved")


def test_a_model_comes_back_to_another_one(scene: synthetic.Scene, moved: Path, tmp_path: Path) -> None:
    models.write(scene.truth, tmp_path / "target")

    done = sfm.align(moved, tmp_path / "target", output=tmp_path / "out")

    written = pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0")
    assert models.largest_distance(written, scene.truth) < 1e-6
    assert abs(done.scale * 2.5 - 1) < 1e-6
    assert done.inliers.all()


def test_ground_truth_may_contradict_a_few_photos(
    scene: synthetic.Scene, moved: Path, tmp_path: Path
) -> None:
    images = {}
    for number, image in enumerate(scene.truth.images.values()):
        pose = image.cam_from_world()
        shift = np.array([50.0, 0, 0]) if number < 2 else np.zeros(3)
        images[image.name] = {
            "R_cw": pose.rotation.matrix().tolist(),
            "t_cw": (pose.translation + shift).tolist(),
        }
    (tmp_path / "gt.json").write_text(json.dumps({"images": images, "unit": "m"}))

    done = sfm.align(moved, tmp_path / "gt.json", output=tmp_path / "out")

    assert int(done.inliers.sum()) == 8
    assert models.largest_distance(done.model, scene.truth) < 1e-6
    assert json.loads((tmp_path / "out" / "alignment.json").read_text())["num_inliers"] == 8


def test_gps_puts_a_model_on_earth_and_says_where(
    scene: synthetic.Scene, moved: Path, tmp_path: Path
) -> None:
    names = [image.name for image in scene.truth.images.values()]
    enu = np.array([image.projection_center() for image in scene.truth.images.values()]) * 20
    write_priors(tmp_path / "moved" / "database.db", scene, dict(zip(names, enu, strict=True)))

    done = sfm.align(moved, "gps", output=tmp_path / "out")

    stored = json.loads((tmp_path / "out" / "sparse" / "0" / "georeference.json").read_text())
    where = Place(**stored["origin"])
    centres = {i.name: i.projection_center() for i in done.model.images.values()}
    for name, place in zip(names, geodetic_places(enu, ORIGIN), strict=True):
        (found,) = geodetic_places(centres[name][None], where)
        assert abs(found.latitude_deg - place.latitude_deg) < 1e-7
        assert abs(found.longitude_deg - place.longitude_deg) < 1e-7
        assert abs(found.altitude_m - place.altitude_m) < 0.01  # type: ignore[operator]
    assert stored["frame"] == "enu"
    assert done.median_residual < 0.01


def test_photos_without_gps_cannot_be_placed(moved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 of the model's 10 photos have a GPS position"):
        sfm.align(moved, "gps", output=tmp_path / "out")


def test_a_target_of_other_photos_under_the_same_names_is_refused(
    scene: synthetic.Scene, moved: Path, tmp_path: Path
) -> None:
    other = copy.deepcopy(scene.truth)
    names = [image.name for image in other.images.values()]
    shuffled = np.random.default_rng(3).permutation(names).tolist()
    for image, name in zip(other.images.values(), shuffled, strict=True):
        image.name = name
    models.write(other, tmp_path / "target")

    with pytest.raises(InputError, match="does not fit"):
        sfm.align(moved, tmp_path / "target", output=tmp_path / "out")


def test_a_model_that_is_not_there_is_named(moved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds 1 model\(s\), none of number 3"):
        sfm.align(moved, moved, output=tmp_path / "out", number=3)


def write_priors(path: Path, scene: synthetic.Scene, enu: dict[str, np.ndarray]) -> None:
    path.write_bytes(scene.database.read_bytes())
    with pycolmap.Database.open(path) as db:
        for image in db.read_all_images():
            (place,) = geodetic_places(enu[image.name][None], ORIGIN)
            prior = pycolmap.PosePrior()
            prior.corr_data_id = image.data_id
            prior.position = [place.latitude_deg, place.longitude_deg, place.altitude_m]
            prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.WGS84
            db.write_pose_prior(prior)
