"""A part that hangs on one photo is a model of its own until more pairs hold it."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair

from . import synthetic
from .running import Recorder, names, run

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
    events = Recorder()

    models = run(database, events=events).models

    assert [model.num_reg_images() for model in models] == [7, 5]
    assert names(models[1]) == {scene.truth.image(i).name for i in FAR}
    (split,) = events.of("split")
    assert split["articulation"] == scene.truth.image(HINGE).name
    assert max(synthetic.max_rotation_error_deg(model, scene.truth) for model in models) < 0.2


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


ACROSS = {(1, 8), (1, 12), (2, 9), (3, 10), (4, 11)}


def test_pairs_that_waited_tell_how_large_the_part_is(
    hanging: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    """They contradict the model as long as the part has the wrong size; with one size all of them agree."""
    scene, database = hanging
    held = synthetic.keep_pairs(database, tmp_path / "held.db", synthetic.all_pairs(12) - across())
    synthetic.add_pairs(scene.database, held, ACROSS)
    events = Recorder()

    (model,) = run(held, deferred=waiting(scene, ACROSS), events=events).models

    assert model.num_reg_images() == 12
    assert events.of("merge")[-1]["accepted"]
    assert synthetic.max_rotation_error_deg(model, scene.truth) < 0.2
    assert max_position_error(model, scene.truth) < 1e-2


def test_points_of_two_photos_tell_it_where_there_are_no_others(
    hanging: tuple[synthetic.Scene, Path], tmp_path: Path
) -> None:
    """What both parts see, two photos of each see alone, and COLMAP makes no points of that."""
    scene, database = hanging
    crossing = {(1, 8), (1, 9), (2, 8), (2, 9)}
    held = synthetic.keep_pairs(database, tmp_path / "held.db", synthetic.all_pairs(12) - across())
    synthetic.add_pairs(scene.database, held, crossing)
    with pycolmap.Database.open(held) as db:
        for ids in sorted(synthetic.all_pairs(12) - across() | crossing):
            geometry = db.read_two_view_geometry(*ids)
            points = scene.truth.image(ids[0]).points2D
            is_rare = np.array([points[i].point3D_id % 3 == 0 for i in geometry.inlier_matches[:, 0]])
            if ids not in {(1, 2), (8, 9)}:
                geometry.inlier_matches = geometry.inlier_matches[is_rare == (ids in crossing)]
            db.delete_two_view_geometry(*ids)
            db.write_two_view_geometry(*ids, geometry)

    (model,) = run(held, deferred=waiting(scene, crossing)).models

    assert model.num_reg_images() == 12
    assert max_position_error(model, scene.truth) < 1e-2


def test_wrong_pairs_that_waited_join_nothing(hanging: tuple[synthetic.Scene, Path], tmp_path: Path) -> None:
    scene, database = hanging
    held = synthetic.keep_pairs(database, tmp_path / "held.db", synthetic.all_pairs(12) - across())
    synthetic.add_pairs(scene.database, held, ACROSS, wrong=40)

    models = run(held, deferred=waiting(scene, ACROSS)).models

    assert [model.num_reg_images() for model in models] == [7, 5]


def waiting(scene: synthetic.Scene, pairs: set[tuple[int, int]]) -> frozenset[Pair]:
    return frozenset(Pair.of(scene.truth.image(i).name, scene.truth.image(j).name) for i, j in pairs)


def max_position_error(model: pycolmap.Reconstruction, truth: pycolmap.Reconstruction) -> float:
    """Of camera centres after the best similarity, as a share of the extent of the true ones."""
    true = {image.name: image.projection_center() for image in truth.images.values()}
    images = [model.image(i) for i in model.reg_image_ids()]
    found = np.array([image.projection_center() for image in images])
    wanted = np.array([true[image.name] for image in images])
    fit = pycolmap.estimate_sim3d(found, wanted)
    assert fit is not None
    return float(np.linalg.norm(fit * found - wanted, axis=1).max() / np.linalg.norm(np.ptp(wanted, axis=0)))
