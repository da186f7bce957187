"""Points that two photos see alone: made for weakly held photos, gone from finished models if not needed."""

import pycolmap
import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.growing.steps import FIRM, _triangulation
from sfm.mapping.refinement.two_view_tracks import drop_points_of_pairs, is_weak
from sfm.mapping.scene.options import mapper_options

from .tracked import tracked_model


def pairs_left(model: pycolmap.Reconstruction) -> list[tuple[int, ...]]:
    number = {image_id: n for n, image_id in enumerate(sorted(model.reg_image_ids()))}
    tracks = [point.track.elements for point in model.points3D.values()]
    return sorted(tuple(sorted(number[e.image_id] for e in t)) for t in tracks if len(t) == 2)


def test_points_of_two_photos_stay_where_one_of_them_sees_few_others() -> None:
    firm = [{0, 1, 2}] * FIRM + [{2, 3, 4}] * (FIRM - 1)

    model = tracked_model(5, [*firm, {0, 1}, {1, 2}, {2, 3}, {3, 4}])
    drop_points_of_pairs(model)

    assert pairs_left(model) == [(2, 3), (3, 4)]
    assert model.num_points3D() == len(firm) + 2


def test_a_model_of_two_photos_keeps_its_points() -> None:
    model = tracked_model(5, [{0, 1}] * 500)
    drop_points_of_pairs(model)

    assert model.num_points3D() == 500


@pytest.mark.parametrize(("num_inliers", "left_out"), [(FIRM - 1, False), (FIRM, True)])
def test_a_weakly_held_photo_gets_points_of_two_photos(num_inliers: int, left_out: bool) -> None:
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)

    assert _triangulation(options, num_inliers).ignore_two_view_tracks is left_out
    assert options.triangulation.ignore_two_view_tracks


@pytest.mark.parametrize(("num_points", "weak"), [(FIRM - 1, True), (FIRM, False)])
def test_a_model_is_weak_where_a_photo_of_ten_sees_few_points_of_three(num_points: int, weak: bool) -> None:
    others = [set(range(9))] * FIRM
    model = tracked_model(10, [*others, *[{7, 8, 9}] * num_points, *[{8, 9}] * FIRM])

    assert is_weak(model) is weak
