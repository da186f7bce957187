"""Camera poses and points from verified pairs."""

from __future__ import annotations

from .cameras.group_adjustment import is_firm
from .cameras.lens_kind import LensFit, fit_lens
from .cameras.lens_likelihood import LENS_MODELS, MatchedPoints, lens_camera
from .cameras.stretched_images import stretched
from .cameras.wrong_cameras import WrongCamera, find_wrong_cameras
from .depth.single_image import model_of_one_image
from .evidence_of_models import are_wrong, evidence_of
from .measures.covisibility import predicted_overlaps
from .measures.observations import num_points_of_images
from .measures.shifts import camera_centres, shifts
from .pair_consistency.background import measured_background
from .pair_consistency.inconsistent_pairs import (
    NO_DOUBT,
    InconsistencyReport,
    InconsistentPair,
    find_inconsistent_pairs,
)
from .pair_consistency.measurements import Measurements
from .pair_consistency.pair_rotations import read_rotations
from .pose_consistency.pose_features import ModelEvidence
from .pose_consistency.pose_judge import gain_of
from .problem import MappingProblem
from .registrar import MappingResult, reconstruct, refine_models
from .scene.camera_models import with_focal_length
from .scene.depth_source import DepthSource
from .scene.existing_models import ExistingModels, known_part
from .scene.pair_matches import PairMatches
from .scene.photo_source import PhotoSource
from .scene.view_graph import MIN_NUM_INLIERS, TwoView, ViewGraph

__all__ = [
    "LENS_MODELS",
    "MIN_NUM_INLIERS",
    "NO_DOUBT",
    "DepthSource",
    "ExistingModels",
    "InconsistencyReport",
    "InconsistentPair",
    "LensFit",
    "MappingProblem",
    "MappingResult",
    "MatchedPoints",
    "Measurements",
    "ModelEvidence",
    "PairMatches",
    "PhotoSource",
    "TwoView",
    "ViewGraph",
    "WrongCamera",
    "are_wrong",
    "camera_centres",
    "evidence_of",
    "find_inconsistent_pairs",
    "find_wrong_cameras",
    "fit_lens",
    "gain_of",
    "is_firm",
    "known_part",
    "lens_camera",
    "measured_background",
    "model_of_one_image",
    "num_points_of_images",
    "predicted_overlaps",
    "read_rotations",
    "reconstruct",
    "refine_models",
    "shifts",
    "stretched",
    "with_focal_length",
]
