"""A part that stands at a wrong place is moved where its pairs would have it; one that stands right stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.journal import Journal
from sfm.mapping.options import MapperOptions, mapper_options
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


def astray(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model with `PART` and the points that it sees at another place; points are split for that."""
    wrong = pycolmap.Reconstruction(model)
    turn = pycolmap.Rotation3d(np.array([0.0, np.sin(np.pi / 4), 0.0, np.cos(np.pi / 4)]))
    away = pycolmap.Sim3d(1.3, turn, np.array([4.0, 0.0, 2.0]))
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
