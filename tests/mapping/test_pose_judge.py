"""A model is compared once, and again as soon as anything about it has changed."""

import copy
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.mapping.pose_consistency import pose_judge
from sfm.mapping.pose_consistency.pose_features import ModelEvidence
from sfm.mapping.pose_consistency.pose_judge import PoseJudge
from sfm.mapping.scene.scene import Scene

from . import synthetic

Photographed = tuple[synthetic.Scene, pycolmap.Reconstruction]


@pytest.fixture
def judge(photographed: Photographed) -> PoseJudge:
    scene, _ = photographed
    report = read_inconsistent_pairs(scene.database)
    return PoseJudge(Scene.open(scene.database), report.probability)


def test_a_model_that_stays_as_it_is_is_compared_once(judge: PoseJudge, photographed: Photographed) -> None:
    _, model = photographed

    assert judge.evidence(copy.deepcopy(model)) is judge.evidence(model)


@pytest.mark.parametrize("what", ["pose", "camera", "point", "observation"])
def test_a_model_that_has_changed_is_compared_again(
    what: str, judge: PoseJudge, photographed: Photographed
) -> None:
    _, model = photographed
    changed = copy.deepcopy(model)
    image = changed.image(min(changed.reg_image_ids()))
    point_id = min(i for i, point in changed.points3D.items() if point.track.length() > 2)
    if what == "pose":
        turned = pycolmap.Rigid3d(pycolmap.Rotation3d([0, 0, 0.1, 1]), [0, 0, 0])
        changed.frame(image.frame_id).rig_from_world = turned * image.cam_from_world()
    elif what == "camera":
        changed.camera(image.camera_id).params = [1.1 * value for value in image.camera.params]
    elif what == "point":
        changed.point3D(point_id).xyz = changed.point3D(point_id).xyz + 0.1
    else:
        element = changed.point3D(point_id).track.elements[0]
        pycolmap.ObservationManager(changed).delete_observation(element.image_id, element.point2D_idx)

    assert judge.evidence(changed) is not judge.evidence(model)
    assert judge.evidence(changed) == pose_judge.ModelEvidence.of(
        judge.scene, changed, judge.probability, frozenset()
    )


def test_few_models_are_kept(judge: PoseJudge, photographed: Photographed) -> None:
    _, model = photographed
    first, moving = judge.evidence(model), copy.deepcopy(model)
    for _ in range(20):
        moving.transform(pycolmap.Sim3d(1.1, pycolmap.Rotation3d(), [0, 0, 0]))
        judge.evidence(moving)

    assert judge.evidence(model) is not first


def test_the_model_that_pairs_agree_with_more_closely_is_likelier(
    judge: PoseJudge, photographed: Photographed
) -> None:
    _, model = photographed
    bent = copy.deepcopy(model)
    for number, image_id in enumerate(sorted(bent.reg_image_ids())):
        image = bent.image(image_id)
        turned = pycolmap.Rigid3d(pycolmap.Rotation3d([0.0002 * (-1) ** number, 0, 0, 1]), [0, 0, 0])
        bent.frame(image.frame_id).rig_from_world = turned * image.cam_from_world()

    assert judge.gain([model], [bent]) > 0 > judge.gain([bent], [model])
    assert judge.gain([model], [model]) == 0


def evidence(errors_px: Mapping[Pair, float]) -> ModelEvidence:
    """Of a model that these pairs agree with, of three points an image."""
    names = {name for pair in errors_px for name in pair}
    return ModelEvidence(
        dict.fromkeys(sorted(names), 3), dict.fromkeys(errors_px, 0.9), set(errors_px), errors_px, {}
    )


@pytest.mark.parametrize(("errors_px", "sign"), [(0.5, 1), (1.0, 0), (2.0, -1)])
def test_of_models_with_as_many_right_images_the_closer_one_is_likelier(errors_px: float, sign: int) -> None:
    pairs = [Pair(a, b) for a, b in pairwise("abcdefgh")]

    found = pose_judge.gain_of(
        [evidence(dict.fromkeys(pairs, errors_px))], [evidence(dict.fromkeys(pairs, 1.0))]
    )

    assert np.sign(round(found, 9)) == sign


def test_errors_of_few_pairs_do_not_count() -> None:
    pairs = [Pair(a, b) for a, b in pairwise("abcd")]

    assert (
        pose_judge.gain_of([evidence(dict.fromkeys(pairs, 3.0))], [evidence(dict.fromkeys(pairs, 1.0))]) == 0
    )
