"""Models as files: COLMAP's own, and what trainers and viewers read."""

from sfm.exports.exporting import FORMATS, export
from sfm.exports.models import largest_first, write_models, write_points_ply

__all__ = ["FORMATS", "export", "largest_first", "write_models", "write_points_ply"]
