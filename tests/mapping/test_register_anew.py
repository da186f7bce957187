"""A part without points that would place it is registered anew; a model that stands right stays as it is."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pycolmap

from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.mapping.edits.register_anew import register_parts_anew
from sfm.mapping.edits.relocate import relocate_parts
from sfm.mapping.growing.submodels import MappingContext, Submodel
from sfm.mapping.pose_consistency.pose_judge import PoseJudge

from . import synthetic
from .misplaced import NUM, PART, astray
from .running import workbench

Photographed = tuple[synthetic.Scene, pycolmap.Reconstruction]


def judging(database: Path) -> MappingContext:
    report = read_inconsistent_pairs(database)
    assert report is not None
    context = workbench(database)
    return replace(context, judge=PoseJudge(context.scene, report.probability))


def without_its_points(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model with `PART` at another place, and no point of it left."""
    wrong = astray(model)
    for point_id in list(wrong.point3D_ids()):
        if any(element.image_id in PART for element in wrong.point3D(point_id).track.elements):
            wrong.delete_point3D(point_id)
    return wrong


def test_a_part_without_points_is_registered_anew(photographed: Photographed) -> None:
    scene, model = photographed
    context, submodel = judging(scene.database), Submodel.of(without_its_points(model))
    assert relocate_parts(context, submodel) is submodel

    mended = register_parts_anew(context, submodel)

    assert mended.reconstruction.num_reg_images() == NUM
    assert synthetic.max_rotation_error_deg(mended.reconstruction, scene.truth) < 0.2
    (anew,) = [fields for event, fields in mended.journal.entries if event == "registered_anew"]
    assert anew["accepted"]
    assert set(cast(list[str], anew["names"])) == {scene.truth.image(i).name for i in PART}
    before, after = cast(list[float], anew["log_odds"])
    assert before < 0 < after


def test_a_model_that_stands_right_stays(photographed: Photographed) -> None:
    scene, model = photographed
    submodel = Submodel.of(model)

    assert register_parts_anew(judging(scene.database), submodel) is submodel


def test_without_a_judge_nothing_is_registered_anew(photographed: Photographed) -> None:
    scene, model = photographed
    submodel = Submodel.of(without_its_points(model))

    assert register_parts_anew(workbench(scene.database), submodel) is submodel
