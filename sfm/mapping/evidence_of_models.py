"""How far models are right, by all verified pairs of their mapping problem."""

from __future__ import annotations

from collections.abc import Sequence

import pycolmap

from retrieval import Pair

from .pair_consistency.inconsistent_pairs import InconsistencyReport
from .pose_consistency.pose_features import ModelEvidence
from .pose_consistency.pose_judge import PoseJudge
from .problem import MappingProblem
from .scene.colmap_mappers import PEERS
from .scene.scene import Scene


def are_wrong(
    problem: MappingProblem, models: Sequence[pycolmap.Reconstruction], consistency: InconsistencyReport
) -> bool:
    """Whether any model is probably folded or bent, by all its pairs.

    False where none would be grown instead: with COLMAP's mappers, alignment, or trusted inconsistent pairs.

    Args:
        problem: as for `reconstruct`.
        models: left unchanged.
        consistency: of the verified pairs.
    """
    if problem.config.mapper in PEERS or problem.config.aligns or not problem.config.defers:
        return False
    judge, known = _judged(problem, models, consistency)
    return judge is not None and any(judge.is_wrong(model) for model in known)


def evidence_of(
    problem: MappingProblem, models: Sequence[pycolmap.Reconstruction], consistency: InconsistencyReport
) -> list[ModelEvidence] | None:
    """What speaks for each model and against it, for `gain_of`; None: probabilities of pairs are not known.

    Arguments are those of `are_wrong`.
    """
    judge, known = _judged(problem, models, consistency)
    return None if judge is None else [judge.evidence(model) for model in known]


def judge_of(scene: Scene, problem: MappingProblem, consistency: InconsistencyReport) -> PoseJudge | None:
    """Judge of the models of a problem; None where the probabilities of pairs are not known."""
    deferred = deferred_pairs(problem, consistency.deferred)
    return PoseJudge(scene, consistency.probability, deferred) if consistency.probability else None


def deferred_pairs(problem: MappingProblem, deferred: frozenset[Pair]) -> frozenset[Pair]:
    """Those of the pairs that registration leaves for later: none where they are trusted."""
    return deferred if problem.config.defers else frozenset()


def has_pairs(scene: Scene, model: pycolmap.Reconstruction) -> bool:
    """Whether any image of the model has a verified pair; without one no mapper can change the model."""
    return any(image_id in scene.name_of for image_id in model.reg_image_ids())


def _judged(
    problem: MappingProblem, models: Sequence[pycolmap.Reconstruction], consistency: InconsistencyReport
) -> tuple[PoseJudge | None, list[pycolmap.Reconstruction]]:
    """The judge, and the models that have pairs, with all keypoints."""
    scene = Scene.open(problem.database, photos=problem.photos)
    known = [scene.with_all_keypoints(model) for model in models if has_pairs(scene, model)]
    return judge_of(scene, problem, consistency), known
