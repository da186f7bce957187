"""Camera poses and points from verified pairs."""

from __future__ import annotations

from .cameras.wrong_focal_lengths import WrongFocalLength, find_wrong_focal_lengths
from .edits.ambiguous_parts import AmbiguousPart, ambiguous_parts
from .measures.covisibility import predicted_overlaps
from .problem import MappingProblem
from .registrar import MappingResult, finish_models, reconstruct
from .scene.depth_source import DepthSource
from .scene.existing_models import ExistingModels
from .scene.pair_matches import PairMatches
from .scene.view_graph import MIN_NUM_INLIERS, TwoView, ViewGraph
from .view_graph.inconsistent_pairs import InconsistencyReport, InconsistentPair, find_inconsistent_pairs
from .view_graph.pair_rotations import read_rotations

__all__ = [
    "MIN_NUM_INLIERS",
    "AmbiguousPart",
    "DepthSource",
    "ExistingModels",
    "InconsistencyReport",
    "InconsistentPair",
    "MappingProblem",
    "MappingResult",
    "PairMatches",
    "TwoView",
    "ViewGraph",
    "WrongFocalLength",
    "ambiguous_parts",
    "find_inconsistent_pairs",
    "find_wrong_focal_lengths",
    "finish_models",
    "predicted_overlaps",
    "read_rotations",
    "reconstruct",
]
