"""A part that stands at a wrong place is moved where its pairs would have it; one that stands right stays."""

from dataclasses import replace
from pathlib import Path

import pycolmap
import pytest

from retrieval import Pair
from sfm.config.schema import RegisterConfig
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.mapping import AmbiguousPart, ambiguous_parts
from sfm.mapping.edits.alternative_poses import AlternativePlacement
from sfm.mapping.edits.relocate import relocate_parts
from sfm.mapping.growing.submodels import Submodel
from sfm.mapping.measures.covisibility_test import CovisibilityTest
from sfm.mapping.pose_consistency.pose_judge import PoseJudge
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.scene import Scene
from sfm.mapping.scene.view_graph import TwoView

from . import synthetic
from .misplaced import ACROSS, NUM, PART, astray, folded, look_alike_database
from .running import workbench

Photographed = tuple[synthetic.Scene, pycolmap.Reconstruction]


def relocated(
    database: Path, model: pycolmap.Reconstruction, journal: Journal | None = None
) -> pycolmap.Reconstruction | None:
    report = read_inconsistent_pairs(database, frozenset())
    assert report is not None
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


def placement(*, here: int, there: int) -> AlternativePlacement:
    """An alternative placement of one image, with so many pairs that should match and do not at either."""

    def inconsistent(count: int) -> CovisibilityTest:
        return CovisibilityTest(frozenset(Pair.of("a", f"{i:02}") for i in range(count)), frozenset())

    present, other = frozenset({Pair.of("a", "b")}), frozenset({Pair.of("a", "c")})
    return AlternativePlacement(
        frozenset({"a"}),
        pycolmap.Sim3d(),
        present | other,
        present,
        other,
        inconsistent(here),
        inconsistent(there),
    )


@pytest.mark.parametrize(
    ("here", "there", "matches", "is_worse"),
    [
        (2, 3, (100, 99), True),
        (2, 3, (99, 100), False),  # more matches agree with it
        (3, 2, (100, 1), False),  # fewer pairs contradict it: false matches of one print are many
        (2, 2, (100, 1), False),
    ],
)
def test_a_placement_is_worse_where_matches_and_predicted_overlap_are_against_it(
    here: int, there: int, matches: tuple[int, int], is_worse: bool
) -> None:
    agreeing, others = matches
    edges = {
        Pair.of("a", "b"): TwoView(agreeing, "calibrated", 1.0),
        Pair.of("a", "c"): TwoView(others, "calibrated", 1.0),
    }

    assert placement(here=here, there=there).is_worse(edges) is is_worse


def ambiguous(database: Path, model: pycolmap.Reconstruction) -> list[AmbiguousPart]:
    report = read_inconsistent_pairs(database, frozenset())
    assert report is not None
    return ambiguous_parts(database, [model], report.probability, config=RegisterConfig(), seed=0)


def test_pairs_that_tell_of_a_part_are_asked_for_until_it_can_be_moved(
    photographed: Photographed, tmp_path: Path
) -> None:
    scene, model = photographed
    wrong = folded(model)
    database = look_alike_database(scene, model, tmp_path / "look_alikes.db", tried=False)

    places = ambiguous(database, wrong)

    part = {scene.truth.image(i).name for i in PART}
    assert places
    assert {place.names for place in places} == {frozenset(part)}
    deciding = {pair for place in places for pair in place.deciding}
    assert all(len(part & {*pair}) == 1 for pair in deciding)
    assert deciding.isdisjoint(Scene.open(database).tried)
    ids = {image.name: image_id for image_id, image in scene.truth.images.items()}
    synthetic.add_pairs(scene.database, database, {(ids[pair.a], ids[pair.b]) for pair in deciding}, raw=True)
    mended = relocated(database, wrong)
    assert mended is not None
    assert synthetic.max_rotation_error_deg(mended, scene.truth) < 1


def test_nothing_is_asked_about_places_that_enough_pairs_tell_of(
    photographed: Photographed, tmp_path: Path
) -> None:
    scene, model = photographed
    database = look_alike_database(scene, model, tmp_path / "look_alikes.db", tried=True)

    assert ambiguous(database, folded(model)) == []


@pytest.mark.parametrize("change", [lambda model: model, astray])
def test_nothing_is_asked_about_a_model_that_no_pair_contradicts_or_of_which_all_pairs_were_tried(
    photographed: Photographed, change: object
) -> None:
    scene, model = photographed
    assert callable(change)

    assert ambiguous(scene.database, change(model)) == []
