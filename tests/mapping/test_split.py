"""A part that hangs on one photo is a model of its own until more pairs hold it."""

from pathlib import Path

import pycolmap
import pytest

from sfm.mapping.edits.split import split_at_articulations
from sfm.mapping.growing.global_sfm import global_models

from . import synthetic
from .running import names, run, workbench

HINGE = 7
NEAR, FAR = set(range(1, HINGE)), set(range(HINGE + 1, 13))


def across() -> set[tuple[int, int]]:
    return {(i, j) for i in NEAR for j in FAR}


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> tuple[synthetic.Scene, Path]:
    """Twelve photos; the first six and the last five share points with the seventh, but not the same ones."""
    folder = tmp_path_factory.mktemp("hanging")
    scene = synthetic.synthesize(folder / "all.db", num_images=12, num_points=450)
    database = synthetic.keep_pairs(scene.database, folder / "hanging.db", synthetic.all_pairs(12) - across())
    with pycolmap.Database.open(database) as db:
        for other in sorted(NEAR | FAR):
            ids = min(other, HINGE), max(other, HINGE)
            geometry = db.read_two_view_geometry(*ids)
            in_hinge = geometry.inlier_matches[:, ids.index(HINGE)]
            geometry.inlier_matches = geometry.inlier_matches[in_hinge % 2 == (other in FAR)]
            db.delete_two_view_geometry(*ids)
            db.write_two_view_geometry(*ids, geometry)
    return scene, database


def test_a_part_that_hangs_on_one_photo_is_a_model_of_its_own(hanging: tuple[synthetic.Scene, Path]) -> None:
    scene, database = hanging

    models = run(database).models

    assert [model.num_reg_images() for model in models] == [7, 5]
    assert names(models[1]) == {scene.truth.image(i).name for i in FAR}
    assert max(synthetic.max_rotation_error_deg(model, scene.truth) for model in models) < 0.2


def test_a_model_whose_part_hangs_on_one_photo_is_split_there(hanging: tuple[synthetic.Scene, Path]) -> None:
    scene, database = hanging
    context = workbench(database)
    (whole,) = global_models(context, set(context.scene.id_of))
    assert len(whole.names) == 12

    models = split_at_articulations(context, [whole])

    assert [len(one.names) for one in models] == [7, 5]
    assert models[1].names == {scene.truth.image(i).name for i in FAR}
    (split,) = (fields for one in models for event, fields in one.journal.entries if event == "split")
    assert split["articulation"] == scene.truth.image(HINGE).name
    assert len(whole.names) == 12


def test_pairs_across_make_it_part_of_the_model_again(
    hanging: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    scene, database = hanging
    apart = run(database).models
    held = synthetic.keep_pairs(database, tmp_path / "held.db", synthetic.all_pairs(12) - across())
    synthetic.add_pairs(scene.database, held, {(1, 8), (2, 9), (1, 12)})

    (model,) = run(held, start=apart).models

    assert model.num_reg_images() == 12
    assert synthetic.max_rotation_error_deg(model, scene.truth) < 0.2
