"""What a COLMAP model says of itself, without any truth."""

from dataclasses import dataclass
from pathlib import Path

from sfm.colmap.model_files import read_whole_model


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """Of one model."""

    registered: int
    """Photos with a pose."""
    points: int
    mean_track_length: float
    """Observations over points."""
    mean_reprojection_px: float
    """Mean over points of the mean over each point's observations, as COLMAP has it: a long track counts no
    more than a short one."""


def model_figures(folder: Path) -> ModelFigures:
    """Of a model on disk; zeros for means over no point.

    Raises:
        InputError: the model is missing or damaged.
    """
    model = read_whole_model(folder)
    model.update_point_3d_errors()
    return ModelFigures(
        registered=model.num_reg_images(),
        points=model.num_points3D(),
        mean_track_length=model.compute_mean_track_length(),
        mean_reprojection_px=model.compute_mean_reprojection_error(),
    )
