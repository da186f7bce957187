"""Matcher backends, which turn photos into keypoints and verified pairs in `database.db`.

`sift` is SIFT, `mast3r` the dense network; the rest of the engine uses the one interface.
"""

from .backend import Backend, BackendContext, DescribeReport, MatchReport

__all__ = [
    "Backend",
    "BackendContext",
    "DescribeReport",
    "MatchReport",
]
