"""Models as files: COLMAP's own, and what trainers and viewers read."""

from sfm.exports.exporting import FORMATS, export
from sfm.exports.models import largest_first, write_models, write_points_ply
from sfm.exports.source import DepthOptions

__all__ = ["FORMATS", "DepthOptions", "export", "largest_first", "write_models", "write_points_ply"]
