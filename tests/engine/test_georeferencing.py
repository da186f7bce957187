"""Models are brought to where they stand on Earth, from database to files."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import sfm
from sfm.config.schema import Config, GeoreferenceConfig, RefineConfig, RegisterConfig, RunConfig
from sfm.errors import ConfigError, InputError
from sfm.geometry.wgs84 import Place, enu_positions
from sfm.georeferencing.georeference import Georeference, GeoreferencingContext, GivenFrame, georeference
from sfm.mapping.scene.options import mapper_options
from sfm.pipelines.map_database import map_database
from tests.places import geodetic_places

ORIGIN = Place(46.84, -91.99, 200.0)
METRES = 40.0
"""In one unit of the synthetic scene, whose ring of photos then spans hundreds of metres."""


def synthesize(path: Path, *, seed: int = 1) -> pycolmap.Reconstruction:
    """A ring of twelve photos; the truth, turned and in metres."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 12
    options.num_points3D, options.camera_params = 300, [1280.0, 512.0, 384.0, 0.05]
    with pycolmap.Database.open(path) as db:
        truth = pycolmap.synthesize_dataset(options, db)
        noise = pycolmap.SyntheticNoiseOptions()
        noise.point2D_stddev = 0.5
        pycolmap.synthesize_noise(noise, truth, db)
    turn = pycolmap.Rotation3d(np.array([0.3, 0.2, 0.1, 0.9]) / np.sqrt(0.95))
    truth.transform(pycolmap.Sim3d(METRES, turn, np.zeros(3)))
    return truth


def write_priors(
    path: Path, truth: pycolmap.Reconstruction, xyz: NDArray[np.float64], *, geodetic: bool
) -> None:
    """Positions (N, 3) in order of image ids as COLMAP's pose priors, without covariances."""
    systems = pycolmap.PosePriorCoordinateSystem
    rows = [(p.latitude_deg, p.longitude_deg, p.altitude_m) for p in geodetic_places(xyz, ORIGIN)]
    with pycolmap.Database.open(path) as db:
        for index, image_id in enumerate(sorted(truth.images)):
            prior = pycolmap.PosePrior()
            prior.pose_prior_id, prior.corr_data_id = image_id, truth.image(image_id).data_id
            prior.position = np.array(rows[index] if geodetic else xyz[index])
            prior.coordinate_system = systems.WGS84 if geodetic else systems.CARTESIAN
            db.write_pose_prior(prior, use_pose_prior_id=True)


def centres(model: pycolmap.Reconstruction) -> NDArray[np.float64]:
    return np.array([model.image(i).projection_center() for i in sorted(model.reg_image_ids())])


def run(database: Path, out: Path, **options: object) -> sfm.Result:
    config = Config(run=RunConfig(threads=1), georeference=GeoreferenceConfig(**options))  # type: ignore[arg-type]
    return map_database(database, output=out, config=config)


def test_gps_with_strays_and_whole_metres_of_height_gives_east_north_up(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "in.db")
    xyz = centres(truth)
    gps = xyz + np.random.default_rng(0).normal(size=xyz.shape) * [1.0, 1.0, 2.0]
    gps[:, 2] = np.round(gps[:, 2])
    gps[4] += [150, 0, 0]
    write_priors(tmp_path / "in.db", truth, gps, geodetic=True)

    result = run(tmp_path / "in.db", tmp_path / "out")

    (model,), (record,) = result.models, result.run.models
    place = record.georeference
    name = truth.image(sorted(truth.images)[4]).name
    assert place.frame == "enu"
    assert place.outliers == (name,)
    assert place.origin is not None
    origin = enu_positions({"": place.origin}, ORIGIN)[""]
    np.testing.assert_allclose(centres(model) + origin, xyz, atol=2.5)
    assert place.differences is not None
    assert 0.3 < place.differences.horizontal_median_m < 2.0
    written = json.loads((tmp_path / "out/sparse/0/georeference.json").read_text())
    assert written["origin"]["latitude_deg"] == pytest.approx(place.origin.latitude_deg)
    assert json.loads((tmp_path / "out/run.json").read_text())["models"][0]["georeference"] == written
    assert "east, north, up" in result.summary()
    assert 'id="position"' in (tmp_path / "out/report.html").read_text()


def test_large_coordinates_of_the_user_are_shifted_and_the_shift_is_written_down(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "in.db")
    utm = centres(truth) + np.array([576_980.0, 5_188_200.0, 200.0])
    write_priors(tmp_path / "in.db", truth, utm, geodetic=False)

    result = run(tmp_path / "in.db", tmp_path / "out")

    place = result.run.models[0].georeference
    assert place.frame == "positions"
    assert np.abs(centres(result.models[0])).max() < 1000
    np.testing.assert_allclose(centres(result.models[0]) + place.offset, utm, atol=0.5)
    assert "less" in result.summary()


def test_positions_of_another_place_leave_the_model_alone_and_say_why(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "in.db")
    elsewhere = np.random.default_rng(3).normal(size=(12, 3)) * 500
    write_priors(tmp_path / "in.db", truth, elsewhere, geodetic=False)

    result = run(tmp_path / "in.db", tmp_path / "out", gravity="never")

    assert result.run.models[0].georeference.frame == "model"
    assert "positions agree with the model" in result.summary()


def level_model(num: int = 8) -> pycolmap.Reconstruction:
    """Cameras held level round a circle, in a frame whose up is -y, as COLMAP's often is."""
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(
        pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 500, 640, 480)
    )
    for index in range(num):
        turn = Rotation.from_euler("y", 360 * index / num, degrees=True).as_matrix()
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(turn), np.array([0.0, 0.0, 3.0]))
        image = pycolmap.Image(f"{index}.jpg", camera_id=1, image_id=index + 1)
        model.add_image_with_trivial_frame(image, pose)
    return model


class Ignored:
    def emit(self, stage: str, event: str, **fields: object) -> None:
        assert stage == "georeference"


def place(
    database: Path, model: pycolmap.Reconstruction, *, depth: bool = False, given: bool = False, **config: str
) -> Georeference:
    pycolmap.Database.open(database).close()
    context = GeoreferencingContext(
        database,
        GeoreferenceConfig(**config),  # type: ignore[arg-type]
        mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0),
        frozenset(),
        {},
        0,
        GivenFrame.of(None, frozenset({"0.jpg", "1.jpg"})) if given else None,
        metric_by_depth=frozenset({0}) if depth else frozenset(),
    )
    _, (found,) = georeference([model], context, Ignored())
    return found


def test_a_model_without_positions_is_turned_upright_where_its_photos_tell(tmp_path: Path) -> None:
    model = level_model()

    found = place(tmp_path / "d.db", model)

    assert (found.frame, found.is_metric) == ("upright", False)
    ups = [model.image(i).cam_from_world().rotation.matrix().T @ [0, -1, 0] for i in model.reg_image_ids()]
    np.testing.assert_allclose(ups, np.tile([0, 0, 1], (8, 1)), atol=1e-9)


@pytest.mark.parametrize("why_not", ["option", "few photos", "given frame"])
def test_it_stays_as_it_is_where_they_do_not_or_where_that_is_not_wanted(
    why_not: str, tmp_path: Path
) -> None:
    model = level_model(4 if why_not == "few photos" else 8)
    before = {i: model.image(i).cam_from_world().matrix() for i in model.reg_image_ids()}

    found = place(
        tmp_path / "d.db",
        model,
        given=why_not == "given frame",
        gravity="never" if why_not == "option" else "auto",
    )

    assert found.frame == "model"
    assert all(np.array_equal(model.image(i).cam_from_world().matrix(), pose) for i, pose in before.items())


def test_a_scale_from_depth_is_said_and_stays_where_positions_do_not_tell_one(tmp_path: Path) -> None:
    found = place(tmp_path / "d.db", level_model(), depth=True)

    assert (found.scale_from, found.is_metric, found.is_placed) == ("depth", True, False)


def test_positions_win_over_depth_and_say_by_how_much(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "in.db")
    write_priors(tmp_path / "in.db", truth, centres(truth), geodetic=False)
    truth.transform(pycolmap.Sim3d(0.5, pycolmap.Rotation3d(), np.zeros(3)))

    found = place(tmp_path / "in.db", truth, depth=True)

    assert found.scale_from == "positions"
    assert "a metre by depth was 2 m by positions" in found.why


def test_a_model_that_was_placed_before_keeps_its_origin(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "in.db")
    write_priors(tmp_path / "in.db", truth, centres(truth), geodetic=True)
    before = run(tmp_path / "in.db", tmp_path / "out").run.models[0].georeference

    frame = GivenFrame.of(tmp_path / "out", frozenset({"a.jpg", "b.jpg"}))

    assert (frame.place.frame, frame.place.origin) == ("enu", before.origin)
    assert frame.place.is_metric
    (tmp_path / "out/sparse/0/georeference.json").write_text('{"origin": {"latitude_deg": 3}}')
    with pytest.raises(InputError, match=r"georeference.json is damaged"):
        GivenFrame.of(tmp_path / "out", frozenset())


def test_a_database_is_mapped_with_a_file_of_positions_too(tmp_path: Path) -> None:
    truth = synthesize(tmp_path / "in.db")
    rows = zip(sorted(truth.images), centres(truth).tolist(), strict=True)
    lines = [f"{truth.image(i).name},{x},{y},{z}" for i, (x, y, z) in rows]
    (tmp_path / "positions.csv").write_text("\n".join(["name,x,y,z", *lines]))

    result = run(tmp_path / "in.db", tmp_path / "out", positions_file=str(tmp_path / "positions.csv"))

    assert result.run.models[0].georeference.frame == "positions"
    np.testing.assert_allclose(centres(result.models[0]), centres(truth), atol=0.5)


def test_known_poses_are_refused_where_they_cannot_be_used(tmp_path: Path) -> None:
    synthesize(tmp_path / "in.db")

    with pytest.raises(ConfigError, match=r"register\.poses is for runs from photos"):
        map_database(
            tmp_path / "in.db", output=tmp_path / "out", config=Config(register=RegisterConfig(poses="x"))
        )
