"""How good a model is, measured against ground truth."""

from sfm.evaluation.evaluate import Evaluation, Score, evaluate
from sfm.evaluation.ground_truth import GroundTruth, load_ground_truth

__all__ = ["Evaluation", "GroundTruth", "Score", "evaluate", "load_ground_truth"]
