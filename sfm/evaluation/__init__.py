"""How good a model is: against ground truth, or against another model of the same images."""

from sfm.evaluation.comparison import Agreement, compare_models
from sfm.evaluation.evaluate import Evaluation, Score, evaluate
from sfm.evaluation.ground_truth import GroundTruth, load_ground_truth

__all__ = [
    "Agreement",
    "Evaluation",
    "GroundTruth",
    "Score",
    "compare_models",
    "evaluate",
    "load_ground_truth",
]
