"""A part that stands at a wrong place is moved where its pairs would have it; one that stands right stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.agreement import median_errors_px
from sfm.mapping.journal import Journal
from sfm.mapping.options import MapperOptions, mapper_options
from sfm.mapping.quality.denied_parts import denied_parts
from sfm.mapping.scene import Scene
from sfm.mapping.second_opinion import reconsidered

from . import synthetic
from .running import run

NUM = 16
PART = set(range(1, 7))
ACROSS = {(i, j) for i in PART for j in range(7, NUM + 1)}


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> tuple[synthetic.Scene, pycolmap.Reconstruction]:
    """A scene, and its model with six of the photos and what they see turned by a right angle, and away."""
    scene = synthetic.synthesize(tmp_path_factory.mktemp("scene") / "all.db", num_images=NUM, num_points=800)
    (model,) = run(scene.database).models
    return scene, model


TURN = pycolmap.Rotation3d(np.array([0.0, np.sin(np.pi / 4), 0.0, np.cos(np.pi / 4)]))
AWAY = pycolmap.Sim3d(1.3, TURN, np.array([4.0, 0.0, 2.0]))


def astray(model: pycolmap.Reconstruction, away: pycolmap.Sim3d = AWAY) -> pycolmap.Reconstruction:
    """The model with `PART` and the points that it sees at another place; points are split for that."""
    wrong = pycolmap.Reconstruction(model)
    for point_id in list(wrong.point3D_ids()):
        point = wrong.point3D(point_id)
        ends = [(e.image_id, e.point2D_idx) for e in point.track.elements]
        sides = [[end for end in ends if (end[0] in PART) == inside] for inside in (True, False)]
        xyz = point.xyz.copy()
        wrong.delete_point3D(point_id)
        for side, place in zip(sides, (away * xyz, xyz), strict=True):
            if len(side) >= 2:
                wrong.add_point3D(place, pycolmap.Track([pycolmap.TrackElement(*end) for end in side]))
    for image_id in PART:
        frame = wrong.frame(wrong.image(image_id).frame_id)
        frame.rig_from_world = away.transform_camera_world(frame.rig_from_world)
    return wrong


def options() -> MapperOptions:
    return mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)


def test_a_part_at_a_wrong_place_is_moved_to_where_its_pairs_say(
    photographed: tuple[synthetic.Scene, pycolmap.Reconstruction],
) -> None:
    scene, model = photographed
    wrong = astray(model)
    assert synthetic.max_rotation_error_deg(wrong, scene.truth) > 80
    journal = Journal()

    mended = reconsidered(Scene.open(scene.database, None), wrong, options(), frozenset(), journal)

    assert mended is not None
    assert mended.num_reg_images() == NUM
    assert synthetic.max_rotation_error_deg(mended, scene.truth) < 0.2
    (moved,) = [fields for event, fields in journal.entries if event == "moved"]
    assert moved["accepted"]
    assert set(moved["names"]) == {scene.truth.image(i).name for i in PART}


def test_a_model_that_stands_right_stays(
    photographed: tuple[synthetic.Scene, pycolmap.Reconstruction],
) -> None:
    scene, model = photographed

    assert reconsidered(Scene.open(scene.database, None), model, options(), frozenset(), Journal()) is None


def test_pairs_that_agree_on_no_place_move_nothing(
    photographed: tuple[synthetic.Scene, pycolmap.Reconstruction], tmp_path: Path
) -> None:
    scene, model = photographed
    database = synthetic.keep_pairs(scene.database, tmp_path / "noise.db", synthetic.all_pairs(NUM) - ACROSS)
    with pycolmap.Database.open(scene.database) as true, pycolmap.Database.open(database) as db:
        for ids in sorted(ACROSS):
            geometry = true.read_two_view_geometry(*ids)
            geometry.inlier_matches = synthetic.shuffled(geometry.inlier_matches)
            db.write_two_view_geometry(*ids, geometry)

    assert reconsidered(Scene.open(database, None), astray(model), options(), frozenset(), Journal()) is None


def folded(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model with `PART` turned about the middle of the points, where other photos stand."""
    middle = np.mean([point.xyz for point in model.points3D.values()], axis=0)
    up = np.linalg.svd(np.array([model.image(i).projection_center() for i in model.reg_image_ids()]) - middle)
    turn = pycolmap.Rotation3d(np.deg2rad(150.0) * up[2][2])
    return astray(model, pycolmap.Sim3d(1.0, turn, middle - turn.matrix() @ middle))


def look_alikes(model: pycolmap.Reconstruction, a: int, b: int, count: int) -> np.ndarray:
    """Matches (count, 2) of keypoints that lie on each other's epipolar lines by the poses of a model."""
    images = model.image(a), model.image(b)
    rays = [
        np.column_stack(
            (
                model.camera(i.camera_id).cam_from_img(np.array([p.xy for p in i.points2D])),
                np.ones(len(i.points2D)),
            )
        )
        for i in images
    ]
    b_from_a = images[1].cam_from_world() * images[0].cam_from_world().inverse()
    x, y, z = b_from_a.translation
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ b_from_a.rotation.matrix()
    lines = rays[0] @ essential.T
    distance = np.abs(lines @ rays[1].T) / np.linalg.norm(lines[:, :2], axis=1)[:, None]
    nearest = np.argmin(distance, axis=1)
    best = np.argsort(distance[np.arange(len(nearest)), nearest])
    _, first = np.unique(nearest[best], return_index=True)
    chosen = best[np.sort(first)][:count]
    return np.column_stack((chosen, nearest[chosen])).astype(np.uint32)


@pytest.mark.parametrize("tried", [True, False])
def test_photos_that_do_not_see_what_they_should_see_are_moved_by_fewer_matches(
    photographed: tuple[synthetic.Scene, pycolmap.Reconstruction], tmp_path: Path, tried: bool
) -> None:
    """Look-alikes have more matches than the true pairs; without pairs that were tried, nothing speaks up."""
    scene, model = photographed
    wrong = folded(model)
    false, true = [(1, 9), (2, 11), (3, 13), (5, 15)], [(1, 16), (6, 7)]
    database = synthetic.keep_pairs(
        scene.database, tmp_path / "look_alikes.db", (synthetic.all_pairs(NUM) - ACROSS) | {*true}
    )
    with pycolmap.Database.open(scene.database) as all_true, pycolmap.Database.open(database) as db:
        for ids in true:
            geometry = all_true.read_two_view_geometry(*ids)
            geometry.inlier_matches = geometry.inlier_matches[:200]
            db.update_two_view_geometry(*ids, geometry)
        for ids in false:
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = look_alikes(wrong, *ids, 150)
            db.write_two_view_geometry(*ids, geometry)
        for ids in sorted(ACROSS - {*true, *false}) if tried else ():
            db.write_matches(*ids, np.zeros((0, 2), np.uint32))
    opened = Scene.open(database, None)
    errors = median_errors_px(opened, wrong, opened.view_graph.edges)
    inliers = {pair: opened.view_graph.edges[pair].num_inliers for pair in errors}

    denied = denied_parts(opened, wrong, errors, inliers)
    mended = reconsidered(opened, wrong, options(), frozenset(), Journal())

    assert [part.names for part in denied] == ([{scene.truth.image(i).name for i in PART}] if tried else [])
    if tried:
        assert mended is not None
        assert synthetic.max_rotation_error_deg(mended, scene.truth) < 1
    else:
        assert mended is None
