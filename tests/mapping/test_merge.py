from pathlib import Path

import pytest

from sfm.mapping.edits.merge import merge_models
from sfm.mapping.growing.submodels import Submodel
from sfm.mapping.scene.journal import Journal

from . import synthetic
from .running import names, run, workbench


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> tuple[synthetic.Scene, Path]:
    """Ten photos, and a database that lacks the pairs between the first six and the last four."""
    folder = tmp_path_factory.mktemp("halves")
    scene = synthetic.synthesize(folder / "all.db", num_images=10)
    inside = synthetic.all_pairs(10) - across()
    return scene, synthetic.keep_pairs(scene.database, folder / "halves.db", inside)


def across() -> set[tuple[int, int]]:
    return {(i, j) for i in range(1, 7) for j in range(7, 11)}


def test_models_that_new_pairs_connect_become_one(
    halves: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    scene, apart = halves
    before = run(apart).models
    together = synthetic.keep_pairs(apart, tmp_path / "together.db", synthetic.all_pairs(10) - across())
    synthetic.add_pairs(scene.database, together, across())

    after = run(together, start=before).models

    assert [model.num_reg_images() for model in before] == [6, 4]
    assert [model.num_reg_images() for model in after] == [10]
    assert synthetic.max_rotation_error_deg(after[0], scene.truth) < 0.2


def test_models_that_wrong_matches_connect_stay_apart(
    halves: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    scene, apart = halves
    before = run(apart).models
    together = synthetic.keep_pairs(apart, tmp_path / "together.db", synthetic.all_pairs(10) - across())
    synthetic.add_pairs(scene.database, together, across(), wrong=40)

    after = run(together, start=before).models

    assert [model.num_reg_images() for model in after] == [6, 4]


def test_a_model_without_common_points_is_absorbed_photo_by_photo(
    halves: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    scene, apart = halves
    large, small = run(apart).models
    for point_id in list(small.point3D_ids()):
        small.delete_point3D(point_id)

    (merged,) = merge_models(workbench(scene.database), [Submodel.of(large), Submodel.of(small)], Journal())

    assert merged.names == names(large) | names(small)
    assert synthetic.max_rotation_error_deg(merged.reconstruction, scene.truth) < 0.2
