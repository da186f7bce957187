"""The sift backend: OpenCV's or COLMAP's SIFT, our own search for matches; needs no weights and no GPU."""

from .backend import SiftBackend

__all__ = ["SiftBackend"]
