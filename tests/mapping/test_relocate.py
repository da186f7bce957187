"""A part that stands at a wrong place is moved where its pairs would have it; one that stands right stays."""

from dataclasses import replace
from pathlib import Path

import pycolmap
import pytest

from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.mapping.edits.relocate import relocate_parts
from sfm.mapping.growing.submodels import Submodel
from sfm.mapping.measures.inconsistent_parts import across
from sfm.mapping.pose_consistency.pose_judge import PoseJudge
from sfm.mapping.scene.journal import Journal

from . import synthetic
from .misplaced import ACROSS, NUM, PART, astray, folded, look_alike_database
from .running import workbench

Photographed = tuple[synthetic.Scene, pycolmap.Reconstruction]


def relocated(
    database: Path, model: pycolmap.Reconstruction, journal: Journal | None = None
) -> pycolmap.Reconstruction | None:
    report = read_inconsistent_pairs(database)
    context = workbench(database)
    judge = PoseJudge(context.scene, report.probability)
    submodel = Submodel.of(model, journal)
    moved = relocate_parts(replace(context, judge=judge), submodel)
    return None if moved is submodel else moved.reconstruction


def test_a_part_at_a_wrong_place_is_moved_to_where_its_pairs_say(photographed: Photographed) -> None:
    scene, model = photographed
    wrong = astray(model)
    assert synthetic.max_rotation_error_deg(wrong, scene.truth) > 80
    journal = Journal()

    mended = relocated(scene.database, wrong, journal)

    assert mended is not None
    assert mended.num_reg_images() == NUM
    assert synthetic.max_rotation_error_deg(mended, scene.truth) < 0.2
    (moved,) = [fields for event, fields in journal.entries if event == "relocated"]
    assert moved["accepted"]
    assert set(moved["names"]) == {scene.truth.image(i).name for i in PART}


def test_a_model_that_stands_right_stays(photographed: Photographed) -> None:
    scene, model = photographed

    assert relocated(scene.database, model) is None


def test_pairs_that_agree_on_no_place_move_nothing(photographed: Photographed, tmp_path: Path) -> None:
    scene, model = photographed
    database = synthetic.keep_pairs(scene.database, tmp_path / "noise.db", synthetic.all_pairs(NUM) - ACROSS)
    synthetic.add_pairs(scene.database, database, ACROSS, wrong=40)

    assert relocated(database, astray(model)) is None


@pytest.mark.parametrize("tried", [True, False])
def test_photos_are_moved_by_fewer_matches_that_are_likelier_true(
    photographed: Photographed, tmp_path: Path, tried: bool
) -> None:
    """Look-alikes have more matches than the true pairs, but are probably false."""
    scene, model = photographed
    wrong = folded(model)
    database = look_alike_database(scene, model, tmp_path / "look_alikes.db", tried=tried)

    mended = relocated(database, wrong)

    assert mended is not None
    assert synthetic.max_rotation_error_deg(mended, scene.truth) < 1


def test_log_odds_of_a_placement_tell_the_right_one(photographed: Photographed) -> None:
    scene, model = photographed
    report = read_inconsistent_pairs(scene.database)
    judge = PoseJudge(workbench(scene.database).scene, report.probability)
    part = frozenset(scene.truth.image(i).name for i in PART)

    right, wrong = (across(part, judge.placement_log_odds(one)) for one in (model, astray(model)))

    assert right > 0 > wrong
