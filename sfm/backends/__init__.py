"""Matcher backends: what turns photos into keypoints and verified pairs in `database.db`. `sift` is COLMAP's
SIFT, `mast3r` the dense network; the rest of the engine sees the one interface.
"""

from .backend import Backend, DescribeReport, MatchReport, Surroundings

__all__ = ["Backend", "DescribeReport", "MatchReport", "Surroundings"]
