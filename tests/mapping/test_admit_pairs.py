"""Photos that the last adjustment drops, because they stood in the wrong place, find the right one."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.growing.submodels import MappingContext, Submodel
from sfm.mapping.refinement import final_refinement as finishing
from sfm.mapping.refinement.final_refinement import refine_model
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.options import mapper_options
from sfm.mapping.scene.scene import Scene

from . import synthetic
from .running import names, run

MISPLACED = 3


def misplaced(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model with its last photos turned away, what they see no longer being that of the others."""
    moved = pycolmap.Reconstruction(model)
    for image_id in sorted(model.reg_image_ids())[-MISPLACED:]:
        image = moved.image(image_id)
        for index in np.flatnonzero([point.has_point3D() for point in image.points2D]).tolist():
            moved.delete_observation(image_id, index)
        turn = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 1.5, 0])), np.array([0.3, 0.2, 0]))
        moved.frame(image.frame_id).rig_from_world = turn * image.cam_from_world()
    return moved


def finished(
    database: Path, model: pycolmap.Reconstruction, journal: Journal, deferred: set[Pair]
) -> pycolmap.Reconstruction:
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)
    done = refine_model(
        MappingContext(Scene.open(database, None), options, lambda name: None),
        Submodel.of(model),
        RefineConfig(),
        deferred=deferred,
        fixed_cameras=frozenset(),
    )
    journal.entries += done.journal.entries
    return done.reconstruction


def test_photos_that_are_dropped_in_the_end_come_back_where_they_belong(tmp_path: Path) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=10)
    model = misplaced(run(scene.database).models[0])
    journal = Journal()

    done = finished(scene.database, model, journal, set())

    lost = {fields["name"] for event, fields in journal.entries if event == "filtered"}
    back = {fields["name"] for event, fields in journal.entries if event == "registered"}
    assert lost
    assert lost == back
    assert names(done) == names(scene.truth)
    assert synthetic.max_rotation_error_deg(done, scene.truth) < 0.2


@pytest.mark.parametrize("is_true", [True, False])
def test_suspects_that_agree_with_the_new_poses_are_adjusted_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_true: bool
) -> None:
    monkeypatch.setattr(finishing, "_SETTLED_SHIFT", np.inf)  # the photos that move are no reason here
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=10)
    model = misplaced(run(scene.database).models[0])
    first, last = model.image(1), model.image(10)
    if not is_true:
        with pycolmap.Database.open(scene.database) as db:
            geometry = db.read_two_view_geometry(1, 10)
            geometry.inlier_matches = synthetic.shuffled(geometry.inlier_matches)
            db.delete_two_view_geometry(1, 10)
            db.write_two_view_geometry(1, 10, geometry)
    journal = Journal()

    done = finished(scene.database, model, journal, {Pair.of(first.name, last.name)})

    chosen = [
        fields for event, fields in journal.entries if event == "global_ba" and fields["why"] == "settled"
    ]
    assert len(chosen) == 1 + is_true
    assert synthetic.max_rotation_error_deg(done, scene.truth) < 0.2
