"""Where look-alikes hold a part, pairs that would tell are named; once they were tried, the part moves."""

from __future__ import annotations

from pathlib import Path

import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping import AmbiguousPart, ambiguous_parts
from sfm.mapping.edits.relocate import relocate_parts
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.options import mapper_options
from sfm.mapping.scene.scene import Scene

from . import synthetic
from .misplaced import PART, astray, folded, look_alike_database

Photographed = tuple[synthetic.Scene, pycolmap.Reconstruction]


def contested(database: Path, model: pycolmap.Reconstruction) -> list[AmbiguousPart]:
    return ambiguous_parts(database, [model], config=RegisterConfig(), seed=0)


def test_pairs_that_tell_of_a_part_are_asked_for_until_it_can_be_moved(
    photographed: Photographed, tmp_path: Path
) -> None:
    scene, model = photographed
    wrong = folded(model)
    database = look_alike_database(scene, model, tmp_path / "look_alikes.db", tried=False)
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)
    assert relocate_parts(Scene.open(database), wrong, options, frozenset(), Journal()) is None

    places = contested(database, wrong)

    part = {scene.truth.image(i).name for i in PART}
    assert places
    assert {place.names for place in places} == {frozenset(part)}
    deciding = {pair for place in places for pair in place.deciding}
    assert all(len(part & {*pair}) == 1 for pair in deciding)
    assert deciding.isdisjoint(Scene.open(database).tried)
    ids = {image.name: image_id for image_id, image in scene.truth.images.items()}
    matched(scene.database, database, [(ids[pair.a], ids[pair.b]) for pair in deciding])
    mended = relocate_parts(Scene.open(database), wrong, options, frozenset(), Journal())
    assert mended is not None
    assert synthetic.max_rotation_error_deg(mended, scene.truth) < 1


def matched(truth: Path, database: Path, pairs: list[tuple[int, int]]) -> None:
    """What matching the pairs comes to: each sees the same points, from where it really stands."""
    with pycolmap.Database.open(truth) as true, pycolmap.Database.open(database) as db:
        for ids in sorted(pairs):
            db.write_matches(*ids, true.read_matches(*ids))
            db.write_two_view_geometry(*ids, true.read_two_view_geometry(*ids))


def test_nothing_is_asked_about_places_that_enough_pairs_tell_of(
    photographed: Photographed, tmp_path: Path
) -> None:
    scene, model = photographed
    database = look_alike_database(scene, model, tmp_path / "look_alikes.db", tried=True)

    assert contested(database, folded(model)) == []


@pytest.mark.parametrize("change", [lambda model: model, astray])
def test_nothing_is_asked_about_a_model_that_no_pair_contradicts_or_of_which_all_pairs_were_tried(
    photographed: Photographed, change: object
) -> None:
    scene, model = photographed
    assert callable(change)

    assert contested(scene.database, change(model)) == []
