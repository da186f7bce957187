"""A part that looks unlike what it stands beside becomes a model of its own."""

from dataclasses import replace
from itertools import combinations

import pycolmap
import pytest

from retrieval import Pair
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.mapping.edits.separate import separate_parts
from sfm.mapping.growing.submodels import MappingContext, Submodel
from sfm.mapping.pose_consistency import pose_features
from sfm.mapping.pose_consistency.pose_judge import PoseJudge

from . import synthetic
from .misplaced import NUM, PART, astray
from .running import workbench


class NoPhotos:
    """Photos of which none can be read: what they show is given by each test."""

    def grey(self, name: str, size: tuple[int, int]) -> None:
        return None


@pytest.fixture
def context(photographed: tuple[synthetic.Scene, pycolmap.Reconstruction]) -> MappingContext:
    context, report = (
        workbench(photographed[0].database),
        read_inconsistent_pairs(photographed[0].database, frozenset()),
    )
    assert report is not None
    scene = replace(context.scene, photos=NoPhotos())
    return replace(context, scene=scene, judge=PoseJudge(scene, report.probability))


def names(scene: synthetic.Scene, numbers: set[int]) -> set[str]:
    return {scene.truth.image(number).name for number in numbers}


def look(monkeypatch: pytest.MonkeyPatch, scene: synthetic.Scene, *, across: float) -> None:
    """All photos of one side look alike; those of both sides by these log-odds."""
    part = names(scene, PART)
    found = {
        Pair.of(*ends): 3.0 if len(part & {*ends}) != 1 else across
        for ends in combinations(sorted(names(scene, set(range(1, NUM + 1)))), 2)
    }

    def consistencies(model: pycolmap.Reconstruction, photos: object, **_: object) -> dict[Pair, float]:
        inside = {model.image(i).name for i in model.reg_image_ids()}
        return {pair: value for pair, value in found.items() if {*pair} <= inside}

    monkeypatch.setattr(pose_features, "photo_consistencies", consistencies)


def test_a_part_unlike_the_rest_is_separated(photographed, context, monkeypatch) -> None:
    scene, model = photographed
    look(monkeypatch, scene, across=-3.0)
    whole = Submodel.of(astray(model))

    rest, alone = separate_parts(context, [whole])

    assert alone.names == names(scene, PART)
    assert rest.names | alone.names == whole.names
    assert not rest.names & alone.names
    (event,) = [fields for name, fields in rest.journal.entries if name == "separated"]
    assert event["names"] == sorted(alone.names)
    assert len(whole.names) == whole.reconstruction.num_reg_images() == NUM


@pytest.mark.parametrize("across", [3.0, 0.5, -3.0])
def test_a_model_that_probably_true_pairs_join_stays_whole(
    photographed, context, monkeypatch, across
) -> None:
    look(monkeypatch, photographed[0], across=across)
    whole = Submodel.of(photographed[1])

    assert separate_parts(context, [whole]) == [whole]


def test_without_photos_or_a_judge_nothing_is_separated(photographed, context, monkeypatch) -> None:
    look(monkeypatch, photographed[0], across=-3.0)
    whole = Submodel.of(astray(photographed[1]))
    blind = replace(context, scene=replace(context.scene, photos=None))

    assert separate_parts(blind, [whole]) == [whole]
    assert separate_parts(replace(context, judge=None), [whole]) == [whole]
