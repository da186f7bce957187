from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.mapping.edits.merge import joined, merge_models
from sfm.mapping.growing.submodels import Submodel, without_images
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


def test_images_that_no_point_holds_are_not_joined(
    halves: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    """At a wrong place no point is seen from both sides, and of this part none from within it."""
    scene, _ = halves
    loose = synthetic.keep_pairs(scene.database, tmp_path / "loose.db", synthetic.all_pairs(10) - {(9, 10)})
    whole = Submodel.of(*run(scene.database).models)
    context = workbench(loose)
    two = frozenset(whole.reconstruction.image(i).name for i in (9, 10))
    large, small = without_images(context, whole, two), without_images(context, whole, whole.names - two)
    turn = pycolmap.Rotation3d(np.array([0.0, 1.0, 0.0, 0.0]))
    away = pycolmap.Sim3d(1.0, turn, np.array([90.0, 0.0, 0.0]))

    merged = joined(context, large, small, Journal(), large_from_small=away, accept=lambda merged: True)

    assert merged is not None
    assert merged.names == large.names
